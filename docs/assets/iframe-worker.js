// Browsers start no worker for a page that was opened as a file. The search of the site is then a frame
// that runs the worker's script. It has the part of a worker's interface that the search uses.
(function () {
  if (location.protocol !== "file:") return;

  function frame(url) {
    const inside = `
      postMessage = (data) => parent.postMessage(data, "*");
      importScripts = (...urls) => urls.reduce((before, each) => before.then(() =>
        new Promise((done, failed) => {
          const script = document.createElement("script");
          script.src = each;
          script.onload = done;
          script.onerror = failed;
          document.body.appendChild(script);
        })), Promise.resolve());
    `;
    const made = document.createElement("iframe");
    made.hidden = true;
    made.title = "search";
    document.body.appendChild(made);
    const page = made.contentWindow.document;
    page.open();
    page.write(`<html><body><script>${inside}<\/script><script src="${url}"><\/script></body></html>`);
    page.close();
    return made;
  }

  class FrameWorker extends EventTarget {
    constructor(url) {
      super();
      this.frame = frame(url);
      this.waiting = [];
      this.ready = false;
      this.frame.contentWindow.addEventListener("load", () => {
        this.ready = true;
        this.waiting.forEach((data) => this.send(data));
        this.waiting = [];
      });
      this.listener = (event) => {
        if (event.source !== this.frame.contentWindow) return;
        this.dispatchEvent(new MessageEvent("message", { data: event.data }));
        if (this.onmessage) this.onmessage(event);
      };
      window.addEventListener("message", this.listener);
    }

    send(data) {
      this.frame.contentWindow.dispatchEvent(new MessageEvent("message", { data }));
    }

    postMessage(data) {
      if (this.ready) this.send(data);
      else this.waiting.push(data);
    }

    terminate() {
      window.removeEventListener("message", this.listener);
      this.frame.remove();
    }
  }

  window.Worker = FrameWorker;
})();
