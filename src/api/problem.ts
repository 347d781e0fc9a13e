/** Errors as RFC 9457 problem details: what an API handler throws, and what a client reads. */

export interface ProblemItem {
  /** Where in the request or the configuration: "ports[2].vlan.tag", "where", "body". */
  readonly path: string;
  readonly message: string;
}

export interface ProblemBody {
  readonly type: "about:blank";
  readonly title: string;
  readonly status: number;
  readonly detail: string;
  readonly errors: readonly ProblemItem[];
}

const TITLES: Readonly<Record<number, string>> = {
  400: "Bad Request",
  401: "Unauthorized",
  403: "Forbidden",
  404: "Not Found",
  405: "Method Not Allowed",
  408: "Request Timeout",
  409: "Conflict",
  413: "Content Too Large",
  415: "Unsupported Media Type",
  422: "Unprocessable Content",
  429: "Too Many Requests",
  500: "Internal Server Error",
  501: "Not Implemented",
  503: "Service Unavailable",
};

export class Problem extends Error {
  readonly status: number;
  readonly errors: readonly ProblemItem[];
  /** Of the answer: Allow, Retry-After. */
  readonly headers: Readonly<Record<string, string>>;

  constructor(
    status: number,
    detail: string,
    errors: readonly ProblemItem[] = [],
    headers: Readonly<Record<string, string>> = {},
  ) {
    super(detail);
    this.name = "Problem";
    this.status = status;
    this.errors = errors;
    this.headers = headers;
  }

  body(): ProblemBody {
    const title = TITLES[this.status] ?? "Error";
    return { type: "about:blank", title, status: this.status, detail: this.message, errors: this.errors };
  }
}
