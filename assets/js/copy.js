export default function ({ parentElement }) {
  const button = parentElement.querySelector("button")
  const words = parentElement.querySelector(".words")
  const status = parentElement.querySelector("[role=status]")
  button.onclick = async () => {
    const address = new URL(window.location.href)
    address.searchParams.delete("present")
    try {
      await navigator.clipboard.writeText(address.toString())
      status.textContent = words.textContent = "Link copied"
    } catch {
      status.textContent = words.textContent = "Copy it from the address bar"
    }
    setTimeout(() => {
      words.textContent = "Copy link"
      status.textContent = ""
    }, 2500)
  }
}
