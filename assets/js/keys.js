// Where arrow keys already mean something.
const CONTROLS = "input, textarea, select, button, summary, [contenteditable], [role=slider], [role=tab], [role=radio], " +
  "[role=option], [role=application]"

export default function ({ setTriggerValue }) {
  const turn = (event) => {
    const name = { ArrowLeft: "previous", ArrowRight: "next" }[event.key]
    const target = event.composedPath()[0]
    const inControl = target.closest?.(CONTROLS)
    if (!name || inControl || event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return
    setTriggerValue("turn", name)
  }
  document.addEventListener("keydown", turn)
  return () => document.removeEventListener("keydown", turn)
}
