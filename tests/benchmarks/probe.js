// Runs in a measured page and times what is painted there, so that the driver's own delays stay out of the figures.
// A page of the app is watched at its stage, and failing that at the words of its stage and numbers; the bare page at
// its text. Boxes that are dragged follow the hand without the server, so they do not count as a change.
window.bench = (() => {
  const LONGEST_START = 60000 // milliseconds that a page may take to come
  const SHAPES = "path, image, rect, circle, text, use"
  let dirty = true
  let seen = { picture: "", words: "" }
  const observer = new MutationObserver(() => {
    dirty = true
  })
  const watch = (root) =>
    observer.observe(root, { subtree: true, childList: true, characterData: true, attributes: true })

  function* roots(node) {
    yield node
    for (const inner of node.querySelectorAll("*")) if (inner.shadowRoot) yield* roots(inner.shadowRoot)
  }

  function chart(plot) {
    const layers = plot.querySelectorAll(".main-svg > :not(defs):not(.hoverlayer)")
    const shapes = [...layers].flatMap((layer) => [...layer.querySelectorAll(SHAPES)])
    const look = (shape) =>
      shape.tagName === "text"
        ? shape.textContent
        : ["d", "x", "y", "width", "height", "transform", "href", "style"].map((name) => shape.getAttribute(name))
    return shapes.map(look).join("|")
  }

  // {picture, words}; picture is null while an image is being loaded.
  function look() {
    const stage = document.querySelector(".st-key-stage")
    if (!stage) return { picture: document.querySelector("[data-testid=stText]")?.textContent ?? "", words: "" }
    const found = [...roots(stage)]
    found.slice(1).forEach(watch)
    const all = (selector) => found.flatMap((root) => [...root.querySelectorAll(selector)])
    const images = all("img")
    const words = [...found, document.querySelector(".st-key-numbers")].map((root) => root?.textContent ?? "").join("|")
    if (images.some((image) => !image.complete)) return { picture: null, words }
    const parts = [
      ...images.map((image) => image.getAttribute("src")),
      ...all("svg.overlay").map((overlay) => overlay.innerHTML),
      ...all(".js-plotly-plot").map(chart),
    ]
    return { picture: parts.join("|"), words }
  }

  // What changed since the last look: "stage", "words" or "".
  function changed() {
    if (!dirty) return ""
    dirty = false
    const now = look()
    if (now.picture === null) {
      dirty = true
      now.picture = seen.picture
    }
    const what = now.picture !== seen.picture ? "stage" : now.words !== seen.words ? "words" : ""
    seen = now
    return what
  }

  // Called from an animation frame: calls back when that frame has been painted.
  function afterPaint(callback) {
    const channel = new MessageChannel()
    channel.port1.onmessage = () => callback(performance.now())
    channel.port2.postMessage(null)
  }

  function eachFrame(step) {
    const frame = () => step() || requestAnimationFrame(frame)
    requestAnimationFrame(frame)
  }

  function begin() {
    watch(document.body)
    dirty = true
    changed()
  }

  let outcome = null
  let tally = null
  return {
    // Time of the epoch, in ms, at which `selector`, or else the stage, was painted; after a minute, what is there instead.
    painted(selector) {
      const there = () => (selector ? document.querySelector(selector)?.textContent : look().picture)
      const page = () => (document.querySelector("[data-testid=stMain]") ?? document.body).innerText.slice(0, 200)
      return new Promise((resolve, reject) => {
        eachFrame(() => {
          if (there()) afterPaint((now) => resolve(performance.timeOrigin + now))
          else if (performance.now() > LONGEST_START) reject(`nothing to measure, the page says: ${page()}`)
          else return false
          return true
        })
      })
    },

    idle: () => document.querySelector("[data-testid=stApp]")?.dataset.testScriptState === "notRunning",

    // 1 or -1 where a slider can go only up or down, else 0.
    way() {
      let focused = document.activeElement
      while (focused?.shadowRoot?.activeElement) focused = focused.shadowRoot.activeElement
      if (!focused?.matches("input[type=range]")) return 0
      if (Number(focused.value) >= Number(focused.max)) return -1
      return Number(focused.value) <= Number(focused.min) ? 1 : 0
    },

    // Wait for one key press and for what it changes within `limit` ms; `outcome` tells. Once the words have changed, or
    // the app has said that all is shown, the picture has `patience` ms left to follow.
    arm({ limit, patience }) {
      begin()
      outcome = new Promise((resolve) => {
        const onKey = () => {
          const start = performance.now()
          const times = { words: 0, answer: 0 }
          const onShown = () => (times.answer ||= performance.now() - start)
          document.addEventListener("cvviz-shown", onShown)
          const end = (by, ms) => {
            document.removeEventListener("cvviz-shown", onShown)
            resolve({ by, ms })
          }
          eachFrame(() => {
            const what = changed()
            const waited = performance.now() - start
            const last = times.words || times.answer ? (times.words || times.answer) + patience : limit
            if (what === "words") afterPaint((now) => (times.words ||= now - start))
            else if (what === "stage") afterPaint((now) => end("stage", now - start))
            else if (waited > last) end(times.words ? "words" : "nothing", times.words || waited)
            else return false
            return what !== "words"
          })
        }
        addEventListener("keydown", onKey, { capture: true, once: true })
      })
    },

    outcome: () => outcome,

    // Until `counted`: the frames in which the picture changed, the answers of the app, whether or not they changed it,
    // and the values that the hand asked for.
    count() {
      begin()
      const mine = (tally = { updates: 0, answers: 0, asked: 0, start: performance.now() })
      const onShown = () => (mine.answers += 1)
      document.addEventListener("cvviz-shown", onShown)
      let last = ""
      const onInput = ({ detail }) => {
        if (detail.text !== last) mine.asked += 1
        last = detail.text
      }
      document.addEventListener("cvviz-input", onInput)
      eachFrame(() => {
        if (tally === mine) mine.updates += changed() === "stage"
        else {
          document.removeEventListener("cvviz-shown", onShown)
          document.removeEventListener("cvviz-input", onInput)
        }
        return tally !== mine
      })
    },

    counted() {
      const seconds = (performance.now() - tally.start) / 1000
      const rates = [tally.updates, tally.answers, tally.asked].map((number) => number / seconds)
      tally = null
      return rates
    },
  }
})()
