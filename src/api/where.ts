/** `?where=`: the filter language as a function, its faults as problems. */
import { compileFilter, FilterError } from "../flow/filter.ts";
import { Problem } from "./problem.ts";

/** `keys`: those that an item may have. */
export function compileWhere(where: string, keys: Iterable<string>): (item: unknown) => boolean {
  try {
    return compileFilter(where, keys);
  } catch (error) {
    if (!(error instanceof FilterError)) throw error;
    throw new Problem(400, `where: ${error.message}`, [{ path: "where", message: error.message }]);
  }
}
