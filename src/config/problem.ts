/** What is wrong with a configuration, and where. */

export interface Place {
  /** As the user named it. */
  readonly file: string;
  /** From 1; 0 where the file itself is the trouble. */
  readonly line: number;
  readonly column: number;
}

export interface Problem extends Place {
  /** `bridges[0].ports[2].vlan.tag`, counted within the file; empty for the whole document. */
  readonly path: string;
  /** What is wrong and how to say it right. */
  readonly message: string;
}

/** `weir.yaml:14:7` */
export function formatPlace(place: Place): string {
  return place.line === 0 ? place.file : `${place.file}:${place.line}:${place.column}`;
}

/** `weir.yaml:14:7 bridges[0].ports[2].vlan.tag: 5000 is not a VLAN id (1..4094)` */
export function formatProblem(problem: Problem): string {
  const path = problem.path && `${problem.path}: `;
  return `${formatPlace(problem)}${problem.line === 0 ? ":" : ""} ${path}${problem.message}`;
}

/** A configuration that cannot be used. The message holds every problem, one a line, in the order of the files. */
export class ConfigError extends Error {
  readonly problems: readonly Problem[];
  constructor(problems: readonly Problem[]) {
    super(problems.map(formatProblem).join("\n"));
    this.name = "ConfigError";
    this.problems = problems;
  }
}

/** `bridges[0].ports` of ["bridges", 0, "ports"]. */
export function formatPath(path: readonly PropertyKey[]): string {
  return path.reduce<string>(
    (text, step) => (typeof step === "number" ? `${text}[${step}]` : `${text}${text && "."}${String(step)}`),
    "",
  );
}
