// The window of a convolution or a pooling. Point at an output cell: what does it read? Point at an input cell: what does
// it reach? Every number comes from Python; this looks numbers up and computes none.
const KINDS = { u1: Uint8Array, i2: Int16Array, f4: Float32Array }
const STEPS = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }
const MOST_TERMS = 12 // of a sum written in one line
const MARK = "#D55E00"
const PLAY = "M4 2.5v11l9-5.5z"
const PAUSE = "M4 3h3v10H4zM9 3h3v10H9z"

function unpack({ kind, shape, data }) {
  const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0))
  return { shape, numbers: new KINDS[kind](bytes.buffer) }
}
const say = (number, digits = 4) => String(Number(number.toPrecision(digits))).replace("-", "−").replace("Infinity", "∞")
const factor = (number) => (number < 0 ? `(${say(number)})` : say(number))
const rect = (x, y, width, height, name) => `<rect class="${name}" x="${x}" y="${y}" width="${width}" height="${height}"/>`

function buildWindow(stage, root) {
  const node = document.createElement("div")
  node.className = "lens"
  node.innerHTML = `
    <div class="bar">
      <button type="button" class="back" aria-label="Step back"><svg viewBox="0 0 16 16"><path d="M10 3L5 8l5 5"/></svg></button>
      <button type="button" class="play" aria-label="Play"><svg viewBox="0 0 16 16"><path/></svg></button>
      <button type="button" class="next" aria-label="Step forward"><svg viewBox="0 0 16 16"><path d="M6 3l5 5-5 5"/></svg></button>
      <span class="hint">Point at a pixel of either picture. Click or arrow keys keep it.</span>
    </div>
    <p class="sum" aria-live="polite"></p>
    <div class="taps"></div>`
  root.append(node)
  const find = (selector) => node.querySelector(selector)
  const view = { node, stage, sum: find(".sum"), taps: find(".taps"), icon: find(".play path"), toggle: find(".play"), timer: 0 }
  find(".back").onclick = () => step(view, -1, true)
  find(".next").onclick = () => step(view, 1, true)
  view.toggle.onclick = () => (view.timer ? stop(view) : play(view))
  showPlaying(view)
  return view
}

function showPlaying(view) {
  view.icon.setAttribute("d", view.timer ? PAUSE : PLAY)
  view.toggle.setAttribute("aria-label", view.timer ? "Pause" : "Play")
}

function play(view) {
  const [, rows, columns] = view.outputs.shape
  const [row, column] = view.at
  if (row === rows - 1 && column === columns - 1) view.at = [0, -1]
  view.timer = setInterval(() => step(view, 1, false), Math.min(Math.max(12000 / (rows * columns), 40), 400))
  showPlaying(view)
}

function stop(view) {
  clearInterval(view.timer)
  view.timer = 0
  showPlaying(view)
  keep(view)
}

function step(view, by, kept) {
  const [, rows, columns] = view.outputs.shape
  const place = clamp(view.at[0] * columns + view.at[1] + by, 0, rows * columns - 1)
  view.at = [Math.floor(place / columns), place % columns]
  showOutput(view, view.at)
  if (kept) keep(view)
  else if (place === rows * columns - 1) stop(view)
}

// The output shown stays, in the address too.
function keep(view) {
  if (!view.field) return
  view.stage.busy = true
  const detail = { field: view.field, text: view.at.join(","), live: false }
  document.dispatchEvent(new CustomEvent("cvviz-input", { detail }))
}

// Invisible layer over a panel that takes pointer and keys, and shows the marks.
function watch(view, panel, index) {
  const layer = make("svg", { class: "marks", tabindex: 0, role: "application" })
  panel.frame.append(layer)
  const isSource = () => index < view.sources
  const cell = (event) => {
    const box = layer.getBoundingClientRect()
    const x = Math.floor(((event.clientX - box.left) / box.width) * panel.width)
    const y = Math.floor(((event.clientY - box.top) / box.height) * panel.height)
    return [clamp(y, 0, panel.height - 1), clamp(x, 0, panel.width - 1)]
  }
  const point = (place) => {
    if (isSource()) showInput(view, index, place)
    else {
      view.filter = index - view.sources
      showOutput(view, place)
    }
  }
  layer.onpointermove = (event) => {
    if (view.timer) return
    point(cell(event))
  }
  layer.onpointerdown = (event) => {
    const place = cell(event)
    layer.place = place
    if (view.timer) stop(view)
    if (!isSource()) view.at = place
    point(place)
  }
  layer.onclick = () => {
    if (!isSource()) keep(view)
  }
  layer.onpointerleave = () => {
    if (!view.timer) showOutput(view, view.at)
  }
  layer.onkeydown = (event) => {
    const arrow = STEPS[event.key]
    if (!arrow) return
    event.preventDefault()
    event.stopPropagation()
    const from = isSource() ? (layer.place ?? [0, 0]) : view.at
    const place = [clamp(from[0] + arrow[0], 0, panel.height - 1), clamp(from[1] + arrow[1], 0, panel.width - 1)]
    layer.place = place
    if (!isSource()) view.at = place
    point(place)
  }
  layer.onkeyup = (event) => {
    if (STEPS[event.key] && !isSource()) keep(view)
  }
  layer.onblur = () => {
    if (isSource() && !view.timer) showOutput(view, view.at)
  }
  panel.marks = layer
}

function unwatch(panel) {
  panel.marks.remove()
  panel.marks = null
}

const valueAt = ({ shape, numbers }, plane, row, column) => numbers[(plane * shape[1] + row) * shape[2] + column]
function weightAt(view, filter, channel, row, column) {
  const [, channels, height, width] = view.weights.shape
  return view.weights.numbers[((filter * channels + channel) * height + row) * width + column]
}
function isBorder(view, row, column) {
  const [top, left, bottom, right] = view.border
  const [, height, width] = view.values.shape
  return row < top || column < left || row >= height - bottom || column >= width - right
}
// A place counted from the first real cell, for the words.
const spot = (view, row, column) => `(${say(row - view.border[0])}, ${say(column - view.border[1])})`

function mark(view, drawSource, drawTarget) {
  view.panels.forEach((panel, index) => {
    const isSource = index < view.sources
    panel.marks.innerHTML = isSource ? drawSource(panel, index) : drawTarget(panel, index - view.sources)
  })
}

function showOutput(view, [row, column]) {
  const [rows, columns] = [view.rows[row], view.columns[column]]
  if (!rows || !columns) return
  const [ys, xs] = [rows[0], columns[0]]
  mark(view, () => {
    if (!ys.length || !xs.length) return ""
    const spread = ys.length * xs.length <= 400
    const taps = spread ? ys.flatMap((y) => xs.map((x) => rect(x, y, 1, 1, "tap"))).join("") : ""
    const [top, left] = [Math.min(...ys), Math.min(...xs)]
    return taps + rect(left, top, Math.max(...xs) - left + 1, Math.max(...ys) - top + 1, "around")
  }, (panel, filter) => rect(column, row, 1, 1, filter === view.filter ? "around" : "also"))
  const value = valueAt(view.outputs, view.filter, row, column)
  writeSum(view, row, column, rows, columns, value)
  writeTaps(view, rows, columns, value)
}

function channelsOf(view) {
  return [...Array(view.values.shape[0]).keys()]
}

function writeSum(view, row, column, rows, columns, value) {
  const terms = []
  for (const channel of channelsOf(view)) {
    rows[0].forEach((y, i) => columns[0].forEach((x, j) => {
      const number = valueAt(view.values, channel, y, x)
      terms.push(view.how === "sum" && view.weights
        ? `${factor(number)}·${factor(weightAt(view, view.filter, channel, rows[1][i], columns[1][j]))}`
        : say(number))
    }))
  }
  const few = terms.length <= MOST_TERMS
  const written = {
    sum: few ? terms.join(" + ") : `sum of ${terms.length} products`,
    max: few ? `max(${terms.join(", ")})` : `largest of ${terms.length} values`,
    mean: few ? `mean(${terms.join(", ")})` : `mean of ${terms.length} values`,
    norm: few ? `norm(${terms.join(", ")})` : `norm of ${terms.length} values`,
  }[view.how]
  const name = view.panels.length - view.sources > 1 ? `Output ${view.filter + 1} ` : "Output "
  view.sum.textContent = `${name}(${row}, ${column}) = ${terms.length ? written : "nothing read"} = ${say(value)}`
}

function writeTaps(view, rows, columns, value) {
  view.taps.replaceChildren(...channelsOf(view).map((channel) => {
    const cells = rows[0].map((y, i) => columns[0].map((x, j) => {
      const number = valueAt(view.values, channel, y, x)
      const weight = view.weights ? weightAt(view, view.filter, channel, rows[1][i], columns[1][j]) : null
      return { number, weight, border: isBorder(view, y, x), chosen: view.how === "max" && number === value }
    }))
    return table(cells, view.names[channel])
  }))
}

function table(cells, name) {
  const element = document.createElement("table")
  if (name) element.createCaption().textContent = name
  for (const line of cells) {
    const row = element.insertRow()
    for (const { number, weight, border, chosen } of line) {
      const cell = row.insertCell()
      cell.className = `${border ? "border" : ""} ${chosen ? "chosen" : ""} ${weight > 0 ? "plus" : weight < 0 ? "minus" : ""}`
      cell.textContent = say(number)
      if (weight === null) continue
      const times = document.createElement("small")
      times.textContent = `× ${say(weight, 3)}`
      cell.append(times)
    }
  }
  return element
}

// Which lines of outputs read a line of the source, and with which line of the kernel.
const readers = (lines, wanted) =>
  lines.flatMap(([source, kernel], index) => source.flatMap((line, tap) => (line === wanted ? [[index, kernel[tap]]] : [])))

function showInput(view, channel, [row, column]) {
  const plane = Math.min(channel, view.values.shape[0] - 1)
  const [rows, columns] = [readers(view.rows, row), readers(view.columns, column)]
  const number = valueAt(view.values, plane, row, column)
  mark(view, (panel, index) => rect(column, row, 1, 1, index === channel ? "around" : "also"),
    () => rows.flatMap(([i]) => columns.map(([j]) => rect(j, i, 1, 1, "tap"))).join(""))
  const count = rows.length * columns.length
  const wins = rows.flatMap(([i]) => columns.filter(([j]) => valueAt(view.outputs, view.filter, i, j) === number)).length
  const what = isBorder(view, row, column) ? "Padding" : "Input"
  const end = view.how === "max" ? `; it is the largest in ${wins}` : view.weights ? ", each with its own weight" : ""
  const readBy = count === 0 ? "is read by no output" : `is read by ${count} output${count > 1 ? "s" : ""}${end}`
  view.sum.textContent = `${what} ${spot(view, row, column)} = ${say(number)} ${readBy}`
  const cells = rows.map(([i, kernelRow]) => columns.map(([j, kernelColumn]) => ({
    number: valueAt(view.outputs, view.filter, i, j),
    weight: view.weights ? weightAt(view, view.filter, plane, kernelRow, kernelColumn) : null,
    border: false,
    chosen: view.how === "max" && valueAt(view.outputs, view.filter, i, j) === number,
  })))
  view.taps.replaceChildren(...(count ? [reached(cells, view)] : []))
}

function reached(cells, view) {
  const weights = cells.map((line) => line.map(({ number, weight, chosen }) => ({ number: weight ?? number, weight: null, chosen })))
  return table(weights, view.weights ? "Its weight in each output" : "The outputs that read it")
}

function showWindow(stage, root, data) {
  if (!data) {
    if (stage.window) {
      clearInterval(stage.window.timer)
      stage.window.panels.forEach(unwatch)
      stage.window.node.remove()
      stage.window = null
    }
    return
  }
  const view = (stage.window ??= buildWindow(stage, root))
  const watched = stage.panels.slice(0, data.sources + data.targets)
  for (const panel of view.panels ?? []) if (!watched.includes(panel)) unwatch(panel)
  Object.assign(view, {
    sources: data.sources, rows: data.rows, columns: data.columns, border: data.border, how: data.how,
    names: data.names, field: data.field, panels: watched,
    values: unpack(data.values), outputs: unpack(data.outputs), weights: data.weights && unpack(data.weights),
  })
  view.filter = Math.min(view.filter ?? 0, view.outputs.shape[0] - 1)
  if (!view.at || !(stage.busy || view.timer)) view.at = data.at
  view.at = [Math.min(view.at[0], data.rows.length - 1), Math.min(view.at[1], data.columns.length - 1)]
  watched.forEach((panel, index) => {
    if (!panel.marks) watch(view, panel, index)
    panel.marks.setAttribute("viewBox", `0 0 ${panel.width} ${panel.height}`)
    const what = index < view.sources ? "Input" : "Output"
    const size = `${panel.height} rows, ${panel.width} columns`
    panel.marks.setAttribute("aria-label", `${what}, ${size}. Arrow keys move ${index < view.sources ? "the pixel" : "the window"}.`)
  })
  root.append(view.node)
  showOutput(view, view.at)
}
