// A class's frames, by a WebSocket or by an event stream. Both bring the same frames. Some networks
// and proxies let no WebSocket through, but an answer that does not end.

/** @import { DeliveredEvent } from "./normalize.js" */

/**
 * @typedef {{ type: string, events: DeliveredEvent[], cursor?: string, now?: string }} Frame
 */

/**
 * @typedef {object} FeedListener
 * @property {() => void} opened
 * @property {(frame: Frame) => void} frame
 * @property {(code: number, reason: string) => void} ended is called once, unless the page closes
 *   the feed itself
 */

/**
 * `ask` asks for a sign of life; `false` if that cannot be asked for.
 *
 * @typedef {{ ask: () => boolean, close: () => void }} Feed
 */

/**
 * @param {string} path
 * @param {Record<string, string>} parameters
 */
function address(path, parameters) {
  const url = new URL(path, document.baseURI);
  url.search = String(new URLSearchParams(parameters));
  return url;
}

/**
 * @param {Record<string, string>} parameters
 * @param {FeedListener} listener
 * @returns {Feed}
 */
export function socketFeed(parameters, listener) {
  const url = address("ws/connect", parameters);
  url.protocol = url.protocol.replace("http", "ws");
  const socket = new WebSocket(url);
  socket.onopen = listener.opened;
  socket.onmessage = ({ data }) => listener.frame(JSON.parse(data));
  socket.onclose = ({ code, reason }) => listener.ended(code, reason);
  return {
    ask() {
      if (socket.readyState !== WebSocket.OPEN) return false;
      socket.send('{"type":"ping"}');
      return true;
    },
    close() {
      socket.onopen = socket.onmessage = socket.onclose = null;
      socket.close();
    },
  };
}

/**
 * @param {Record<string, string>} parameters
 * @param {FeedListener} listener
 * @returns {Feed}
 */
export function streamFeed(parameters, listener) {
  const stream = new EventSource(address("api/class/stream", parameters));
  const close = () => {
    stream.onopen = stream.onmessage = stream.onerror = null;
    stream.close();
  };
  stream.onopen = listener.opened;
  stream.onmessage = ({ data }) => listener.frame(JSON.parse(data));
  // The browser would connect again by itself; the page does, as it does with a WebSocket.
  stream.onerror = () => {
    close();
    listener.ended(0, "");
  };
  return { ask: () => false, close };
}
