const stages = new WeakMap()
const SVG = "http://www.w3.org/2000/svg"
const MIN_SIDE = 4 // pixels
const CORNERS = [["x1", "y1", "nwse"], ["x2", "y1", "nesw"], ["x2", "y2", "nwse"], ["x1", "y2", "nesw"]]
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }

const make = (tag, attributes = {}) => {
  const node = document.createElementNS(SVG, tag)
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value)
  return node
}
// A finger that starts here must not scroll; browsers do not heed touch-action on shapes inside an SVG.
const keepTouch = (node) => node.addEventListener("touchstart", (event) => event.preventDefault(), { passive: false })
const clamp = (value, low, high) => Math.min(Math.max(value, low), high)

function buildPanel() {
  const figure = document.createElement("figure")
  figure.innerHTML = `<figcaption></figcaption><div class="frame"><img draggable="false"></div>`
  const frame = figure.querySelector(".frame")
  const overlay = make("svg", { class: "overlay", "aria-hidden": "true" })
  const editor = make("svg", { class: "editor" })
  frame.append(overlay, editor)
  const panel = { figure, frame, overlay, editor, img: frame.querySelector("img"), caption: figure.firstChild, boxes: [] }
  panel.observer = new ResizeObserver(() => {
    const width = frame.clientWidth
    if (!width || !panel.width) return
    frame.style.setProperty("--u", panel.width / width)
    placeTitles(panel)
  })
  panel.observer.observe(frame)
  return panel
}

function place(box) {
  const { x1, y1, x2, y2 } = box.at
  box.rect.setAttribute("x", x1)
  box.rect.setAttribute("y", y1)
  box.rect.setAttribute("width", x2 - x1)
  box.rect.setAttribute("height", y2 - y1)
  CORNERS.forEach(([x, y], i) => {
    box.corners[i].setAttribute("cx", box.at[x])
    box.corners[i].setAttribute("cy", box.at[y])
  })
  const where = [x1, y1, x2, y2].map((value) => Math.round(value)).join(", ")
  box.group.setAttribute("aria-label", `${box.name} at ${where}. Arrow keys move it, Shift with an arrow resizes it, Alt takes steps of 10.`)
}

// Over the upper left corner; where another name is there, over the right one, or below the box.
function placeTitles(panel) {
  const u = panel.width / (panel.frame.clientWidth || panel.width)
  const taken = []
  for (const { at, name, title } of panel.boxes) {
    const wide = (7.5 * name.length + 5) * u
    const [left, right] = [at.x1 + 10 * u, at.x2 - 10 * u - wide]
    const over = at.y1 < 0.06 * panel.height ? at.y1 + 20 * u : at.y1 - 8 * u
    const under = at.y2 + 20 * u > panel.height ? at.y2 - 10 * u : at.y2 + 20 * u
    const free = ([x, y]) => x >= 0 && taken.every(([otherX, otherY, otherWide]) =>
      Math.abs(y - otherY) >= 18 * u || x >= otherX + otherWide || otherX >= x + wide)
    const places = [[left, over], [right, over], [left, under], [right, under]]
    const [x, y] = places.find(free) ?? places[0]
    taken.push([x, y, wide])
    title.setAttribute("x", x)
    title.setAttribute("y", y)
    title.textContent = name
  }
}

function move(panel, box, start, dx, dy, xs, ys) {
  const at = { ...start }
  if (xs.length === 2) {
    dx = clamp(dx, -start.x1, panel.width - start.x2)
    dy = clamp(dy, -start.y1, panel.height - start.y2)
  }
  for (const x of xs) at[x] = Math.round(start[x] + dx)
  for (const y of ys) at[y] = Math.round(start[y] + dy)
  if (xs.length === 1) {
    if (xs[0] === "x1") at.x1 = clamp(at.x1, 0, at.x2 - MIN_SIDE)
    if (xs[0] === "x2") at.x2 = clamp(at.x2, at.x1 + MIN_SIDE, panel.width)
  }
  if (ys.length === 1) {
    if (ys[0] === "y1") at.y1 = clamp(at.y1, 0, at.y2 - MIN_SIDE)
    if (ys[0] === "y2") at.y2 = clamp(at.y2, at.y1 + MIN_SIDE, panel.height)
  }
  box.at = at
  place(box)
  placeTitles(panel)
}

function buildBox(stage, panel) {
  const group = make("g", { class: "box", tabindex: 0, role: "application", "aria-roledescription": "movable box" })
  const rect = make("rect", { class: "body" })
  const corners = CORNERS.map(([, , cursor]) => make("circle", { class: `corner ${cursor}` }))
  const title = make("text", { class: "title" })
  group.append(rect, title, ...corners)
  panel.editor.append(group)
  const box = { panel, group, rect, title, corners, at: null, held: false }
  const say = (live) => {
    const text = panel.boxes.map(({ at }) => [at.x1, at.y1, at.x2, at.y2].join(",")).join(";")
    stage.busy = true
    document.dispatchEvent(new CustomEvent("cvviz-input", { detail: { field: panel.field, text, live } }))
  }
  const drag = (node, xs, ys) => {
    keepTouch(node)
    node.onpointerdown = (event) => {
      event.preventDefault()
      group.focus({ preventScroll: true })
      node.setPointerCapture(event.pointerId)
      const start = { ...box.at }
      const scale = panel.width / panel.frame.clientWidth
      const [fromX, fromY] = [event.clientX, event.clientY]
      box.held = true
      node.onpointermove = (next) => {
        move(panel, box, start, (next.clientX - fromX) * scale, (next.clientY - fromY) * scale, xs, ys)
        say(true)
      }
      node.onpointerup = node.onpointercancel = () => {
        node.onpointermove = node.onpointerup = node.onpointercancel = null
        box.held = false
        say(false)
      }
    }
  }
  drag(rect, ["x1", "x2"], ["y1", "y2"])
  CORNERS.forEach(([x, y], i) => drag(corners[i], [x], [y]))
  group.onkeydown = (event) => {
    const arrow = ARROWS[event.key]
    if (!arrow) return
    event.preventDefault()
    event.stopPropagation()
    const [dx, dy] = arrow.map((unit) => unit * (event.altKey ? 10 : 1))
    if (event.shiftKey) move(panel, box, box.at, dx, dy, ["x2"], ["y2"])
    else move(panel, box, box.at, dx, dy, ["x1", "x2"], ["y1", "y2"])
    say(true)
  }
  group.onkeyup = (event) => {
    if (ARROWS[event.key]) say(false)
  }
  return box
}

function show(stage, panel, data) {
  Object.assign(panel, { width: data.width, height: data.height, field: data.field })
  panel.caption.textContent = data.caption
  panel.caption.hidden = !data.caption
  panel.figure.style.maxWidth = `${data.maxWidth}px`
  // A little less than they would like, so that two small ones share the width of a phone.
  panel.figure.style.flexBasis = `${Math.min(0.9 * data.maxWidth, 240)}px`
  panel.frame.style.aspectRatio = `${data.width} / ${data.height}`
  panel.img.alt = data.alt
  panel.img.classList.toggle("exact", data.exact)
  panel.img.hidden = !data.src
  panel.frame.classList.toggle("sheet", !data.src)
  if (panel.src !== data.src) panel.img.src = panel.src = data.src
  for (const layer of [panel.overlay, panel.editor]) layer.setAttribute("viewBox", `0 0 ${data.width} ${data.height}`)
  if (panel.markup !== data.overlay) panel.overlay.innerHTML = panel.markup = data.overlay
  if (panel.frame.clientWidth) panel.frame.style.setProperty("--u", data.width / panel.frame.clientWidth)
  panel.editor.classList.toggle("many", data.boxes.length > 3)
  panel.editor.toggleAttribute("hidden", !data.boxes.length && !data.points && !data.paint)
  while (panel.boxes.length > data.boxes.length) panel.boxes.pop().group.remove()
  while (panel.boxes.length < data.boxes.length) panel.boxes.push(buildBox(stage, panel))
  const busy = stage.busy || panel.boxes.some((box) => box.held)
  panel.boxes.forEach((box, i) => {
    box.name = data.names[i]
    box.group.style.setProperty("--color", data.colors[i])
    if (!box.at || !busy) {
      const [x1, y1, x2, y2] = data.boxes[i]
      box.at = { x1, y1, x2, y2 }
    }
    place(box)
  })
  placeTitles(panel)
  showPoints(stage, panel, data.points)
  showPaint(stage, panel, data.paint)
}

// Pictures side by side begin at one height, however many lines their captions have.
function alignCaptions(panels, root) {
  const captions = panels.map(({ caption }) => caption)
  const said = [root.clientWidth, ...captions.map((caption) => caption.textContent)].join("\n")
  if (root.said === said) return
  root.said = said
  for (const caption of captions) caption.style.minHeight = ""
  const tops = panels.map(({ figure }) => figure.offsetTop)
  const heights = captions.map((caption) => caption.offsetHeight)
  captions.forEach((caption, i) => {
    caption.style.minHeight = `${Math.max(...heights.filter((_, j) => tops[j] === tops[i]))}px`
  })
}

export default function ({ data, parentElement }) {
  const root = parentElement.querySelector(".scenes")
  let stage = stages.get(root)
  if (!stage) {
    stage = { panels: [], busy: false }
    // Until the last input has been answered, what the server says of the boxes is older than what the hand did.
    stage.onShown = ({ detail }) => {
      stage.busy = detail.busy
      if (!stage.busy) stage.panels.forEach(settlePaint)
    }
    document.addEventListener("cvviz-shown", stage.onShown)
    stage.observer = new ResizeObserver(() => requestAnimationFrame(() => alignCaptions(stage.panels, root)))
    stage.observer.observe(root)
    stages.set(root, stage)
  }
  while (stage.panels.length > data.panels.length) {
    const panel = stage.panels.pop()
    panel.observer.disconnect()
    panel.figure.remove()
  }
  data.panels.forEach((panelData, i) => {
    if (!stage.panels[i]) {
      stage.panels[i] = buildPanel()
      root.append(stage.panels[i].figure)
    }
    show(stage, stage.panels[i], panelData)
  })
  alignCaptions(stage.panels, root)
  showWindow(stage, root, data.window)
  return () => {
    stage.observer.disconnect()
    clearInterval(stage.window?.timer)
    stage.panels.forEach((panel) => panel.observer.disconnect())
    document.removeEventListener("cvviz-shown", stage.onShown)
    stages.delete(root)
  }
}
