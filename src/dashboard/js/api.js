// What the page asks the relay for.

/** An answer other than 2xx, or none. `status` is 0 without an answer. */
export class ApiError extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }

  /** Whether the same may succeed later. */
  get isTransient() {
    return this.status === 0 || this.status >= 500 || this.status === 408 || this.status === 429;
  }
}

const PATIENCE = 15_000;

async function request(path, parameters, { method = "GET", signal } = {}) {
  const query = new URLSearchParams(Object.entries(parameters).filter(([, value]) => value !== undefined));
  const signals = [AbortSignal.timeout(PATIENCE), ...(signal ? [signal] : [])];
  let response;
  try {
    response = await fetch(`${path}?${query}`, { method, signal: AbortSignal.any(signals) });
    const body = await response.text();
    const answer = body === "" ? {} : JSON.parse(body);
    if (response.ok) return answer;
    throw new ApiError(response.status, answer.detail ?? answer.title ?? response.statusText);
  } catch (error) {
    if (error instanceof ApiError || signal?.aborted) throw error;
    // No connection, cut short, or an answer of something between here and the relay.
    throw new ApiError(response?.ok === false ? response.status : 0, String(error.message));
  }
}

/** A segment of a path. "." and ".." no URL keeps, however they are written; the relay trims what it reads. */
function segment(text) {
  const encoded = encodeURIComponent(text);
  return encoded === "." || encoded === ".." ? `%20${encoded}` : encoded;
}

export const api = {
  summary: (classId, signal) => request("api/class/summary", { class: classId, include: "grid,activity" }, { signal }),
  refused: (classId) => request("api/class/refused", { class: classId }),
  classes: (signal) => request("api/classes", {}, { signal }),
  events: (classId, student, { before, limit, signal }) =>
    request("api/class/events", { class: classId, student, before, limit }, { signal }),
  resolve: (classId, student) =>
    request(
      `api/class/students/${segment(student)}/help/resolve`,
      { class: classId },
      { method: "POST" },
    ),
};
