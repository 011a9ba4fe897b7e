const boxes = new WeakMap()
const MOST = 8

const plainWords = (text) => text.toLowerCase().normalize("NFKD").replace(/[\u0300-\u036f]/g, "")

// Every word must occur; a word in the title outweighs one in tags, questions or summary.
function rank(item, words) {
  let score = 0
  for (const word of words) {
    if (item.words.title.startsWith(word)) score += 8
    else if (item.words.title.includes(word)) score += 6
    else if (item.words.tags.includes(word)) score += 3
    else if (item.words.questions.some((question) => question.includes(word))) score += 2
    else if (item.words.rest.includes(word)) score += 1
    else return 0
  }
  return score
}

function build(root) {
  root.innerHTML = `
    <input type="search" role="combobox" aria-expanded="false" aria-controls="found" aria-autocomplete="list"
      aria-label="Search concepts" placeholder="Search  ( / )" autocomplete="off" spellcheck="false">
    <ul id="found" role="listbox" aria-label="Concepts found"></ul>
    <p role="status"></p>`
  const [input, list, status] = root.children
  return { input, list, status, found: [], active: 0 }
}

export default function ({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector(".search")
  let ui = boxes.get(root)
  if (!ui) {
    ui = build(root)
    boxes.set(root, ui)
  }
  ui.items = data.items.map((item) => ({
    ...item,
    words: {
      title: plainWords(item.title),
      tags: plainWords(`${item.tags} ${item.slug}`),
      questions: item.questions.map(plainWords),
      rest: plainWords(`${item.summary} ${item.section}`),
    },
  }))
  const open = (item) => {
    if (!item) return
    ui.input.value = ""
    show()
    ui.input.blur()
    setTriggerValue("open", item.slug)
  }
  const mark = () => {
    ;[...ui.list.children].forEach((node, i) => node.setAttribute("aria-selected", String(i === ui.active)))
    const current = ui.list.children[ui.active]
    if (current) ui.input.setAttribute("aria-activedescendant", current.id)
    else ui.input.removeAttribute("aria-activedescendant")
    current?.scrollIntoView({ block: "nearest" })
  }
  const show = () => {
    const words = plainWords(ui.input.value).split(/\s+/).filter(Boolean)
    ui.found = words.length
      ? ui.items
          .map((item) => ({ item, score: rank(item, words) }))
          .filter(({ score }) => score)
          .sort((a, b) => b.score - a.score)
          .slice(0, MOST)
          .map(({ item }) => item)
      : []
    ui.active = 0
    ui.list.replaceChildren(
      ...ui.found.map((item, i) => {
        const node = document.createElement("li")
        node.id = `found-${i}`
        node.setAttribute("role", "option")
        const title = document.createElement("strong")
        title.textContent = item.title
        const why = document.createElement("span")
        const asked = item.questions.find((question) => words.some((word) => plainWords(question).includes(word)))
        const inTitle = words.every((word) => item.words.title.includes(word))
        why.textContent = asked && !inTitle ? asked : item.section
        node.append(title, why)
        node.onpointerdown = (event) => {
          event.preventDefault()
          open(item)
        }
        return node
      }),
    )
    const nothing = words.length && !ui.found.length
    ui.status.textContent = nothing ? "Nothing found. Try one word of the concept." : ""
    ui.status.hidden = !nothing
    ui.list.hidden = !ui.found.length
    ui.input.setAttribute("aria-expanded", String(ui.found.length > 0))
    mark()
  }
  show()
  ui.input.oninput = show
  ui.input.onkeydown = (event) => {
    if (event.key === "Enter") open(ui.found[ui.active])
    else if (event.key === "Escape") {
      ui.input.value = ""
      show()
    } else if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault()
      const count = ui.found.length || 1
      ui.active = (ui.active + (event.key === "ArrowDown" ? 1 : count - 1)) % count
      mark()
    }
  }
  const slash = (event) => {
    const target = event.composedPath()[0]
    if (event.key !== "/" || target.closest?.("input, textarea, [contenteditable]")) return
    event.preventDefault()
    ui.input.focus()
  }
  document.addEventListener("keydown", slash)
  ui.close?.()
  ui.close = () => document.removeEventListener("keydown", slash)
  return () => ui.close()
}
