const sliders = new WeakMap()
const POSITIONS = 200 // of a logarithmic slider
const TICK = 60 // milliseconds between the steps of play, at the fastest

function build(root) {
  root.innerHTML = `
    <div class="head">
      <label for="range"></label>
      <input class="number" type="number" inputmode="decimal">
      <span class="unit"></span>
      <button class="play" type="button"><svg viewBox="0 0 16 16" aria-hidden="true"><path/></svg></button>
    </div>
    <input class="range" id="range" type="range">
    <p class="help"></p>
    <p class="error" role="alert"></p>`
  const find = (selector) => root.querySelector(selector)
  return {
    label: find("label"), number: find(".number"), unit: find(".unit"), play: find(".play"),
    icon: find("path"), range: find(".range"), help: find(".help"), error: find(".error"),
    held: false, playing: 0, rest: 0, shown: true,
  }
}

export default function ({ data, parentElement }) {
  const root = parentElement.querySelector(".live")
  let ui = sliders.get(root)
  if (!ui) {
    ui = build(root)
    sliders.set(root, ui)
    // Play takes its next step when the stage has shown the last one.
    ui.onShown = () => {
      ui.shown = true
    }
    document.addEventListener("cvviz-shown", ui.onShown)
  }
  const { low, high, step, log } = data
  const decimals = log ? null : (String(step).split(".")[1] ?? "").length
  const ratio = log ? Math.log(high / low) : 0
  const toNumber = (position) => (log ? low * Math.exp((position / POSITIONS) * ratio) : Number(position))
  const toPosition = (number) => (log ? (Math.log(Math.max(number, low) / low) / ratio) * POSITIONS : number)
  const toText = (number) => (log ? String(Number(number.toPrecision(3))) : Number(number).toFixed(decimals))

  ui.label.textContent = data.label
  ui.unit.textContent = data.unit
  ui.help.textContent = data.help
  ui.help.hidden = !data.help
  ui.error.textContent = data.error
  ui.error.hidden = !data.error
  ui.number.setAttribute("aria-label", `${data.label}, exact value`)
  ui.number.toggleAttribute("aria-invalid", Boolean(data.error))
  ui.number.step = log ? "any" : step
  Object.assign(ui.range, log ? { min: 0, max: POSITIONS, step: 1 } : { min: low, max: high, step })
  const label = () => {
    ui.range.setAttribute("aria-valuetext", `${ui.number.value} ${data.unit}`.trim())
    const share = (ui.range.value - ui.range.min) / (ui.range.max - ui.range.min)
    ui.range.style.setProperty("--share", `${100 * share}%`)
  }
  const showPlaying = () => {
    ui.icon.setAttribute("d", ui.playing ? "M4 3h3v10H4zM9 3h3v10H9z" : "M4 2.5v11l9-5.5z")
    ui.play.setAttribute("aria-label", ui.playing ? `Pause ${data.label}` : `Play ${data.label}`)
    ui.play.title = ui.playing ? "Pause" : "Play"
  }
  if (!ui.held && !ui.playing) {
    if (!data.error) ui.number.value = data.text
    ui.range.value = toPosition(Number(data.text))
  }
  label()
  showPlaying()

  const say = (live) => {
    if (live) follow(root)
    else unfollow()
    const detail = { field: data.field, text: ui.number.value, live }
    const heard = !document.dispatchEvent(new CustomEvent("cvviz-input", { detail, cancelable: true }))
    window.cvvizUnheard = heard ? null : detail // the wire, when it comes, asks for it
  }
  const stop = () => {
    if (!ui.playing) return
    clearInterval(ui.playing)
    ui.playing = 0
    showPlaying()
    say(false)
  }
  ui.stop = stop
  const rest = (wait) => {
    clearTimeout(ui.rest)
    ui.rest = setTimeout(() => {
      ui.held = false
      say(false)
    }, wait)
  }
  ui.range.onpointerdown = () => {
    stop()
    ui.held = true
    ui.hand = new AbortController()
    // A hand that lets go where it began has changed nothing, and the browser then fires no change.
    const letGo = () => {
      ui.hand.abort()
      rest(0)
    }
    for (const end of ["pointerup", "pointercancel"]) window.addEventListener(end, letGo, { signal: ui.hand.signal })
  }
  ui.range.oninput = () => {
    ui.number.value = toText(toNumber(ui.range.value))
    label()
    say(true)
  }
  // A key that is held down fires this at every repeat; only where it comes to rest belongs into the address.
  ui.range.onchange = () => {
    if (!ui.held) rest(250)
  }
  ui.number.onchange = () => {
    stop()
    say(false)
  }
  ui.play.onclick = () => {
    if (ui.playing) return stop()
    if (Number(ui.range.value) >= Number(ui.range.max)) ui.range.value = ui.range.min
    const span = (ui.range.max - ui.range.min) / ui.range.step
    const stride = Math.max(1, Math.round(span / 100)) * ui.range.step
    const tick = span > 40 ? TICK : 400 // a slider of few steps is a story told step by step
    ui.playing = setInterval(() => {
      if (!ui.shown) return
      if (Number(ui.range.value) >= Number(ui.range.max)) return ui.stop()
      ui.range.value = Number(ui.range.value) + stride
      ui.number.value = toText(toNumber(ui.range.value))
      label()
      ui.shown = false
      say(true)
    }, tick)
    ui.shown = true
    showPlaying()
  }
  return () => {
    clearInterval(ui.playing)
    clearTimeout(ui.rest)
    ui.hand?.abort()
    unfollow() // a slider that goes while it moves says nothing any more
    window.cvvizUnheard = null
    document.removeEventListener("cvviz-shown", ui.onShown)
    sliders.delete(root)
  }
}
