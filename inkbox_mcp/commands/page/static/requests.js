// Requests to the sandbox.

const MILLISECONDS_UNTIL_AGAIN = 1000;

/** Says why a request failed; the status is 0 if there was no answer. */
export class Failure extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

export async function ask(path, options) {
  let answer;
  try {
    answer = await fetch(path, options);
  } catch {
    throw new Failure(0, "The sandbox does not answer.");
  }
  if (answer.ok) return answer;
  const { detail } = await answer.json().catch(() => ({}));
  throw new Failure(answer.status, typeof detail === "string" ? detail : `The sandbox answered ${answer.status}.`);
}

export const get = async (path) => (await ask(path)).json();
export const messagePath = (id) => `/page/messages/${encodeURIComponent(id)}`;

/** Returns a function that runs `work`, never twice at a time: all calls during a run lead to one more. */
export function coalesced(work) {
  let running = null;
  let isWanted = false;
  const start = () => {
    isWanted = true;
    return (running ??= run());
  };
  const run = async () => {
    try {
      while (isWanted) {
        isWanted = false;
        await work();
      }
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      // The database was busy. After anything else, the next change asks again, and a connection begins with one.
      if (error.status === 503) setTimeout(start, MILLISECONDS_UNTIL_AGAIN);
    } finally {
      running = null;
    }
  };
  return start;
}
