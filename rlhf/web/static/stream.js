// Server-sent events of a request that carries a body; EventSource can only GET.

import { HttpError, lost, request, tokenHeaders } from "./site.js";

// The events of POST `address`, one object each. Throws an HttpError with the server's sentence.
export async function* events(address, object, signal) {
  const response = await request(address, {
    method: "POST",
    headers: { ...tokenHeaders, Accept: "text/event-stream, application/json" },
    body: JSON.stringify(object),
    signal,
  });
  if (!response.ok) {
    const answer = await response.json().catch(() => ({}));
    throw new HttpError(answer.error ?? `the server answered ${response.status}`, response.status);
  }
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { value, done } = await reader.read().catch(lost);
    if (done) return;
    text += value;
    const parts = text.split("\n\n");
    text = parts.pop(); // an event that is not whole yet
    for (const part of parts) yield JSON.parse(part.slice("data: ".length));
  }
}

// What a person reads while the question is not begun yet.
export function queueText(before) {
  return before === 0 ? "You are next." : `${before} before you.`;
}
