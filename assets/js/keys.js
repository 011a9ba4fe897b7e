export default function ({ setTriggerValue }) {
  const turn = (event) => {
    const name = { ArrowLeft: "previous", ArrowRight: "next" }[event.key]
    const target = event.composedPath()[0]
    const inControl = target.closest?.("input, textarea, select, button, [tabindex], [contenteditable]")
    if (!name || inControl || event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return
    setTriggerValue("turn", name)
  }
  document.addEventListener("keydown", turn)
  return () => document.removeEventListener("keydown", turn)
}
