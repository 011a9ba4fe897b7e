// Points on a plot: dragged, moved with the arrow keys, added by a double click, removed with Delete.
const tidy = (number) => String(Number(number.toFixed(6)))

function toPixel({ frame, x, y }, [px, py]) {
  const [left, top, right, bottom] = frame
  return [
    left + ((px - x[0]) / (x[1] - x[0])) * (right - left),
    bottom - ((py - y[0]) / (y[1] - y[0])) * (bottom - top),
  ]
}

function toData({ frame, x, y, step }, [px, py]) {
  const [left, top, right, bottom] = frame
  const snap = (value, [low, high]) => clamp(Math.round(value / step) * step, low, high)
  return [
    snap(x[0] + ((px - left) / (right - left)) * (x[1] - x[0]), x),
    snap(y[0] + ((bottom - py) / (bottom - top)) * (y[1] - y[0]), y),
  ]
}

function sayPoints(stage, panel, live) {
  stage.busy = true
  const { upright } = panel.points
  const text = panel.dots.map(({ at }) => (upright ? tidy(at[1]) : at.map(tidy).join(","))).join(upright ? " " : ";")
  document.dispatchEvent(new CustomEvent("cvviz-input", { detail: { field: panel.points.field, text, live } }))
}

function placeDot(panel, dot, index) {
  const [x, y] = toPixel(panel.points, dot.at)
  for (const node of [dot.body, dot.reach]) {
    node.setAttribute("cx", x)
    node.setAttribute("cy", y)
  }
  dot.letter.setAttribute("x", x)
  dot.letter.setAttribute("y", y)
  const { colors, fixed, labels, upright } = panel.points
  const label = labels[index] ?? ""
  dot.letter.textContent = label
  dot.group.classList.toggle("lettered", Boolean(label))
  dot.body.style.setProperty("--color", colors[Math.min(index, colors.length - 1)])
  const where = (upright ? dot.at.slice(1) : dot.at).map(tidy).join(", ")
  const removal = fixed ? "" : " Delete removes it."
  dot.group.setAttribute("aria-label", `Point ${label || index + 1} at ${where}. Arrow keys move it, Alt takes steps of 10.${removal}`)
}

function buildDot(stage, panel) {
  const group = make("g", { class: "dot", tabindex: 0, role: "application", "aria-roledescription": "movable point" })
  const body = make("circle", { class: "point" })
  const letter = make("text", { class: "letter" })
  const reach = make("circle", { class: "reach" })
  group.append(body, letter, reach)
  panel.editor.append(group)
  const dot = { group, body, letter, reach, at: null, held: false }
  const index = () => panel.dots.indexOf(dot)
  keepTouch(reach)
  reach.onpointerdown = (event) => {
    event.preventDefault()
    group.focus({ preventScroll: true })
    reach.setPointerCapture(event.pointerId)
    const scale = panel.width / panel.frame.clientWidth
    const from = [event.clientX, event.clientY]
    const [x, y] = toPixel(panel.points, dot.at)
    let moved = false
    dot.held = true
    reach.onpointermove = (next) => {
      const across = panel.points.upright ? 0 : next.clientX - from[0]
      dot.at = toData(panel.points, [x + across * scale, y + (next.clientY - from[1]) * scale])
      moved = true
      placeDot(panel, dot, index())
      sayPoints(stage, panel, true)
    }
    reach.onpointerup = reach.onpointercancel = () => {
      reach.onpointermove = reach.onpointerup = reach.onpointercancel = null
      dot.held = false
      if (moved) sayPoints(stage, panel, false)
    }
  }
  reach.ondblclick = (event) => event.stopPropagation()
  group.onkeydown = (event) => {
    const { points, dots } = panel
    if ((event.key === "Delete" || event.key === "Backspace") && !points.fixed && dots.length > 1) {
      event.preventDefault()
      const place = index()
      dots.splice(place, 1)
      group.remove()
      dots[Math.min(place, dots.length - 1)].group.focus()
      sayPoints(stage, panel, false)
      return
    }
    const arrow = ARROWS[event.key]
    if (!arrow || (points.upright && arrow[0])) return
    event.preventDefault()
    event.stopPropagation()
    const size = points.step * (event.altKey ? 10 : 1)
    const [low, high] = [0, 1].map((end) => [points.x[end], points.y[end]])
    dot.at = [0, 1].map((axis) => clamp(dot.at[axis] + (axis ? -1 : 1) * arrow[axis] * size, low[axis], high[axis]))
    placeDot(panel, dot, index())
    sayPoints(stage, panel, true)
  }
  group.onkeyup = (event) => {
    if (ARROWS[event.key]) sayPoints(stage, panel, false)
  }
  return dot
}

function showPoints(stage, panel, data) {
  panel.dots ??= []
  panel.points = data
  const wanted = data?.points ?? []
  const busy = stage.busy || panel.dots.some((dot) => dot.held)
  panel.editor.classList.toggle("open", Boolean(data) && !data.fixed)
  panel.editor.ondblclick = !data || data.fixed ? null : (event) => {
    const box = panel.editor.getBoundingClientRect()
    const scale = panel.width / box.width
    const dot = buildDot(stage, panel)
    dot.at = toData(panel.points, [(event.clientX - box.left) * scale, (event.clientY - box.top) * scale])
    panel.dots.push(dot)
    placeDot(panel, dot, panel.dots.length - 1)
    sayPoints(stage, panel, false)
  }
  if (!busy || !data) {
    while (panel.dots.length > wanted.length) panel.dots.pop().group.remove()
    while (panel.dots.length < wanted.length) panel.dots.push(buildDot(stage, panel))
    panel.dots.forEach((dot, index) => {
      dot.at = [...wanted[index]]
    })
  }
  panel.dots.forEach((dot, index) => placeDot(panel, dot, index))
}
