/* Search runs in a worker, which browsers refuse to a page that is read from a folder (file://). There the script of the
   worker runs in a hidden frame instead, with the same messages. */
if (location.protocol === "file:") {
  window.IFrameWorker = class extends EventTarget {
    constructor(script) {
      super()
      const address = new URL(script, location.href).href
      const frame = document.createElement("iframe")
      frame.hidden = true
      this.waiting = []
      frame.srcdoc = "<script>window.postMessage = data => parent.dispatchEvent(" +
        "new CustomEvent('frame-message', {detail: data}))</" + "script>" +
        `<script src="${address}"></` + "script>"
      window.addEventListener("frame-message", event =>
        this.dispatchEvent(new MessageEvent("message", { data: event.detail })))
      frame.addEventListener("load", () => {
        this.target = frame.contentWindow
        this.waiting.splice(0).forEach(data => this.postMessage(data))
      })
      document.addEventListener("DOMContentLoaded", () => document.body.append(frame))
      if (document.body) document.body.append(frame)
    }
    postMessage(data) {
      if (!this.target) this.waiting.push(data)
      else this.target.dispatchEvent(new this.target.MessageEvent("message", { data }))
    }
    terminate() {}
  }
  window.Worker = window.IFrameWorker
}
