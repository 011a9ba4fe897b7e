// The one line between live controls and the stage. Controls announce inputs as DOM events; this component, which lies in
// the stage's fragment, passes them on, so that nothing but the stage runs. One request at a time: while one is under way
// only the newest input waits, so a slow network lags but never queues. It is drawn last in the stage, hence its data
// say that everything above it is there.
const wires = new WeakMap()
const LOST = 5000 // milliseconds after which an answer is no longer awaited

function build() {
  const wire = { flying: 0, waiting: null, timer: 0, emit: null }
  const send = (input) => {
    wire.flying = Math.max(Date.now(), (window.cvvizSeq ?? 0) + 1)
    window.cvvizSeq = wire.flying
    wire.timer = setTimeout(wire.landed, LOST)
    wire.emit("input", { ...input, seq: wire.flying })
  }
  wire.landed = () => {
    clearTimeout(wire.timer)
    wire.flying = 0
    const next = wire.waiting
    wire.waiting = null
    if (next) send(next)
  }
  wire.hear = (input) => {
    if (wire.flying) wire.waiting = input
    else send(input)
  }
  wire.onInput = (event) => {
    event.preventDefault()
    wire.hear(event.detail)
  }
  document.addEventListener("cvviz-input", wire.onInput)
  return wire
}

export default function ({ data, parentElement, setStateValue }) {
  const root = parentElement.querySelector("i")
  if (!wires.has(root)) wires.set(root, build())
  const wire = wires.get(root)
  wire.emit = setStateValue
  if (window.cvvizUnheard) wire.hear(window.cvvizUnheard) // a control that was moved before the stage was there
  window.cvvizUnheard = null
  if (wire.flying && data.seq >= wire.flying) wire.landed()
  document.dispatchEvent(new CustomEvent("cvviz-shown", { detail: { busy: wire.flying !== 0 } }))
  return () => {
    clearTimeout(wire.timer)
    document.removeEventListener("cvviz-input", wire.onInput)
    wires.delete(root)
  }
}
