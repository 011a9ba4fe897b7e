export default function ({ data }) {
  document.dispatchEvent(new CustomEvent("cvviz-pulse", { detail: data.seq }))
}
