// On a phone the stage lies above what moves it. While a slider moves and the stage is out of sight, a small copy of its
// place comes along: the stage itself, fixed to the edge of the screen that is farther from the hand.
const phone = matchMedia("(max-width: 640px)")
const LINGER = 1200 // milliseconds that it stays after the hand has let go
const SEEN = 0.6 // share of the stage that is enough to see it move
let leaving = 0

function follow(slider) {
  if (!phone.matches) return
  clearTimeout(leaving)
  const stage = document.querySelector(".st-key-stage")
  if (!stage || stage.dataset.follows) return
  const { top, bottom, height } = stage.getBoundingClientRect()
  if (Math.min(bottom, innerHeight) - Math.max(top, 0) > SEEN * Math.min(height, innerHeight)) return
  stage.parentElement.style.minHeight = `${height}px` // what lies below keeps its place
  stage.dataset.small = height > 0.4 * innerHeight
  stage.dataset.follows = slider.getBoundingClientRect().top > innerHeight / 2 ? "top" : "bottom"
}

function unfollow() {
  clearTimeout(leaving)
  leaving = setTimeout(() => {
    const stage = document.querySelector(".st-key-stage[data-follows]")
    if (!stage) return
    delete stage.dataset.follows
    delete stage.dataset.small
    stage.parentElement.style.minHeight = ""
  }, LINGER)
}
