// A mask painted cell by cell: brush and eraser under the pointer, the arrow keys and the space bar. What the hand has
// done shows at once, in the picture's own colours; the picture itself follows with the answer.
const RUN = 35 // as the Mask control writes runs: one digit of base 36 each, the last one going on
const BRUSHES = [1, 3, 5, 9] // cells across
const TOOLS = { brush: "Brush", eraser: "Eraser" }

function readRuns(text, count) {
  const cells = new Uint8Array(count)
  let at = 0
  let value = 0
  for (const digit of text) {
    const length = parseInt(digit, 36)
    cells.fill(value, at, at + length)
    at += length
    if (length < RUN) value = 1 - value
  }
  return cells
}

function writeRuns(cells) {
  let text = ""
  let start = 0
  for (let value = 0; start < cells.length; value = 1 - value) {
    let end = start
    while (end < cells.length && cells[end] === value) end += 1
    const length = end - start
    text += "z".repeat(Math.floor(length / RUN)) + (length % RUN).toString(36)
    start = end
  }
  return text
}

function sayPaint(stage, panel, live) {
  stage.busy = panel.brush.ahead = true
  const detail = { field: panel.paint.field, text: writeRuns(panel.cells), live }
  document.dispatchEvent(new CustomEvent("cvviz-input", { detail }))
}

function* footprint({ columns, rows }, [x, y], size) {
  const reach = (size - 1) / 2
  for (let row = Math.max(0, y - reach); row <= Math.min(rows - 1, y + reach); row += 1)
    for (let column = Math.max(0, x - reach); column <= Math.min(columns - 1, x + reach); column += 1)
      if ((row - y) ** 2 + (column - x) ** 2 <= (size / 2) ** 2) yield row * columns + column
}

const outlineOf = (panel, indices) => {
  const { columns, rows } = panel.paint
  const [across, down] = [panel.width / columns, panel.height / rows]
  let path = ""
  for (const index of indices)
    path += `M${(index % columns) * across} ${Math.floor(index / columns) * down}h${across}v${down}h${-across}z`
  return path
}

function dab(panel, place, value) {
  let changed = false
  for (const index of footprint(panel.paint, place, panel.brush.size)) {
    changed ||= panel.cells[index] !== value
    panel.cells[index] = value
  }
  return changed
}

function stroke(panel, from, to, value) {
  const steps = Math.max(Math.abs(to[0] - from[0]), Math.abs(to[1] - from[1]), 1)
  let changed = false
  for (let step = 0; step <= steps; step += 1) {
    const place = [0, 1].map((axis) => Math.round(from[axis] + ((to[axis] - from[axis]) * step) / steps))
    changed = dab(panel, place, value) || changed
  }
  return changed
}

// Cells in which the hand is ahead of the picture.
function showWet(panel) {
  const { nodes } = panel.brush
  for (const value of [0, 1]) {
    const ahead = []
    panel.cells.forEach((cell, index) => {
      if (cell === value && panel.dry[index] !== value) ahead.push(index)
    })
    nodes.wet[value].setAttribute("d", outlineOf(panel, ahead))
    nodes.wet[value].setAttribute("fill", panel.paint.colors[value])
  }
}

function showCursor(panel) {
  const { nodes, at, size } = panel.brush
  nodes.cursor.setAttribute("d", outlineOf(panel, footprint(panel.paint, at, size)))
  const state = panel.cells[at[1] * panel.paint.columns + at[0]] ? "painted" : "empty"
  const told = `Row ${at[1] + 1}, column ${at[0] + 1} is ${state}. ${TOOLS[panel.brush.tool]}, ${size} wide.`
  nodes.layer.setAttribute(
    "aria-label",
    `Mask to paint, ${panel.paint.columns} by ${panel.paint.rows}. ${told} Arrow keys move, Alt takes steps of 4, `
      + "Space paints or erases, Shift with an arrow does both.",
  )
}

function buildPaint(stage, panel) {
  const layer = make("g", { class: "paint", tabindex: 0, role: "application", "aria-roledescription": "mask" })
  const wet = [make("path", { class: "wet" }), make("path", { class: "wet" })]
  const cursor = make("path", { class: "cursor" })
  const ground = make("rect", { class: "ground" })
  layer.append(...wet, cursor, ground)
  panel.editor.append(layer)
  const brush = { tool: "brush", size: 3, at: [0, 0], held: false, ahead: false, nodes: { layer, wet, cursor, ground } }
  panel.brush = brush
  const cellAt = (event) => {
    const box = panel.editor.getBoundingClientRect()
    const { columns, rows } = panel.paint
    return [
      clamp(Math.floor(((event.clientX - box.left) / box.width) * columns), 0, columns - 1),
      clamp(Math.floor(((event.clientY - box.top) / box.height) * rows), 0, rows - 1),
    ]
  }
  const paint = (to, value) => {
    const changed = stroke(panel, brush.at, to, value)
    brush.at = to
    if (changed) {
      showWet(panel)
      sayPaint(stage, panel, true)
    }
    showCursor(panel)
    return changed
  }
  const value = () => Number(brush.tool === "brush")
  keepTouch(ground)
  ground.oncontextmenu = (event) => event.preventDefault()
  ground.onpointerdown = (event) => {
    event.preventDefault()
    layer.focus({ preventScroll: true })
    ground.setPointerCapture(event.pointerId)
    const put = event.button === 2 || event.shiftKey ? 1 - value() : value()
    brush.held = true
    brush.at = cellAt(event)
    let changed = paint(brush.at, put)
    ground.onpointermove = (next) => {
      changed = paint(cellAt(next), put) || changed
    }
    ground.onpointerup = ground.onpointercancel = (last) => {
      if (last.type === "pointerup") changed = paint(cellAt(last), put) || changed
      ground.onpointermove = hover
      ground.onpointerup = ground.onpointercancel = null
      brush.held = false
      if (changed) sayPaint(stage, panel, false)
    }
  }
  const hover = (event) => {
    brush.at = cellAt(event)
    showCursor(panel)
  }
  ground.onpointermove = hover
  let painted = false
  layer.onkeydown = (event) => {
    const arrow = ARROWS[event.key]
    if (!arrow && event.key !== " ") return
    event.preventDefault()
    event.stopPropagation()
    const { columns, rows } = panel.paint
    const [dx, dy] = (arrow ?? [0, 0]).map((unit) => unit * (event.altKey ? 4 : 1))
    const to = [clamp(brush.at[0] + dx, 0, columns - 1), clamp(brush.at[1] + dy, 0, rows - 1)]
    if (!arrow || event.shiftKey) {
      painted = paint(to, value()) || painted
    } else {
      brush.at = to
      showCursor(panel)
    }
  }
  layer.onkeyup = (event) => {
    if (!painted || !(ARROWS[event.key] || event.key === " ")) return
    painted = false
    sayPaint(stage, panel, false)
  }
  buildTools(stage, panel)
}

function buildTools(stage, panel) {
  const bar = document.createElement("div")
  bar.className = "tools"
  bar.innerHTML = `
    <div role="group" aria-label="Tool">${Object.entries(TOOLS)
      .map(([tool, title]) => `<button type="button" data-tool="${tool}">${title}</button>`)
      .join("")}</div>
    <div role="group" aria-label="Width in cells">${BRUSHES.map(
      (size) => `<button type="button" data-size="${size}" aria-label="${size} wide">${size}</button>`,
    ).join("")}</div>
    <button type="button" class="clear">Clear</button>`
  panel.figure.append(bar)
  panel.brush.bar = bar
  const mark = () => {
    for (const button of bar.querySelectorAll("[data-tool]"))
      button.setAttribute("aria-pressed", button.dataset.tool === panel.brush.tool)
    for (const button of bar.querySelectorAll("[data-size]"))
      button.setAttribute("aria-pressed", Number(button.dataset.size) === panel.brush.size)
  }
  bar.onclick = ({ target }) => {
    const { tool, size } = target.dataset
    if (tool) panel.brush.tool = tool
    if (size) panel.brush.size = Number(size)
    if (target.classList.contains("clear")) {
      panel.cells.fill(0)
      showWet(panel)
      sayPaint(stage, panel, false)
    }
    mark()
    showCursor(panel)
  }
  mark()
}

// All that the hand has done has been answered: what the picture shows is right.
function settlePaint(panel) {
  if (!panel.brush || panel.brush.held) return
  panel.brush.ahead = false
  panel.cells = panel.dry.slice()
  showWet(panel)
}

function showPaint(stage, panel, data) {
  panel.paint = data
  if (!data) {
    panel.brush?.nodes.layer.remove()
    panel.brush?.bar.remove()
    panel.brush = null
    return
  }
  const fresh = !panel.brush
  if (fresh) buildPaint(stage, panel)
  const { brush } = panel
  panel.dry = readRuns(data.text, data.columns * data.rows)
  if (fresh || !(stage.busy && brush.ahead) && !brush.held) panel.cells = panel.dry.slice()
  if (fresh) brush.at = [data.columns >> 1, data.rows >> 1]
  brush.nodes.ground.setAttribute("width", panel.width)
  brush.nodes.ground.setAttribute("height", panel.height)
  showWet(panel)
  showCursor(panel)
}
