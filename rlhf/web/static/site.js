// What every page needs: requests that carry the session's token, and small ways to build elements from text.

const token = document.querySelector('meta[name="csrf"]').content;

// Sends an object as JSON and returns the object that comes back. Throws an Error with the server's sentence.
export async function send(address, object, options = {}) {
  const response = await request(address, {
    method: "POST",
    headers: { "Content-Type": "application/json", Accept: "application/json", "X-CSRF-Token": token },
    body: JSON.stringify(object),
    ...options,
  });
  return readJson(response);
}

// The object at an address. Throws an Error with the server's sentence.
export async function load(address) {
  return readJson(await request(address, { headers: { Accept: "application/json" } }));
}

// As fetch, but a network that is gone is said in a sentence for people.
export async function request(address, options) {
  return fetch(address, options).catch(lost);
}

export function lost(error) {
  throw error.name === "AbortError" ? error : new Error("there is no connection to the server: try again");
}

async function readJson(response) {
  const object = await response.json().catch(() => ({}));
  if (!response.ok) throw new HttpError(object.error ?? `the server answered ${response.status}`, response.status);
  return object;
}

// An answer that is no success; status is the server's.
export class HttpError extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

// The headers of a request that is not sent with `send`, such as one whose answer is streamed.
export const tokenHeaders = { "Content-Type": "application/json", "X-CSRF-Token": token };

// An element with attributes and children. A child that is text stays text: nothing here is ever read as HTML.
export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value !== false && value !== null) made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children);
  return made;
}

// A key under which a label is counted once, however often it is sent. crypto.randomUUID exists on https only.
export function newKey() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
