// One request at a time: while one is under way only the newest value waits, so a slow network lags but never queues.
// The pulse component, drawn last in the run, announces which request has been answered.
function openChannel(emit) {
  let flying = 0
  let waiting = null
  let timer = 0
  const send = (payload) => {
    if (flying) {
      waiting = payload
      return
    }
    flying = Math.max(Date.now(), (window.cvvizSeq ?? 0) + 1)
    window.cvvizSeq = flying
    timer = setTimeout(landed, 3000)
    emit({ ...payload, seq: flying })
  }
  const landed = () => {
    clearTimeout(timer)
    flying = 0
    if (waiting) {
      const next = waiting
      waiting = null
      send(next)
    }
  }
  const onPulse = (event) => {
    if (flying && event.detail >= flying) landed()
  }
  document.addEventListener("cvviz-pulse", onPulse)
  return {
    send,
    isBusy: () => flying !== 0,
    close: () => {
      clearTimeout(timer)
      document.removeEventListener("cvviz-pulse", onPulse)
    },
  }
}
