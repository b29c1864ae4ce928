/** Which route a request is for. Exact paths first, then the longest prefix. */
import type { Route } from "./listens.ts";

export type Found =
  | {
      readonly type: "route";
      readonly route: Route;
      readonly path: ReadonlyArray<string>;
      readonly query: URLSearchParams;
    }
  | {
      readonly type: "refusal";
      readonly status: 400 | 404 | 405;
      readonly message: string;
      /** Value of the Allow header. */
      readonly allow: string | null;
    };

type ByMethod = ReadonlyMap<string, Route>;

const noPath: ReadonlyArray<string> = [];
const noQuery = new URLSearchParams();
const notFound: Found = { type: "refusal", status: 404, message: "Not found", allow: null };
const malformed: Found = {
  type: "refusal",
  status: 400,
  message: "The path is not percent-encoded UTF-8",
  allow: null,
};

function collect(routes: ReadonlyArray<Route>): ReadonlyMap<string, ByMethod> {
  const byPath = new Map<string, Map<string, Route>>();
  for (const route of routes) {
    const methods = byPath.get(route.path) ?? new Map<string, Route>();
    if (!route.path.startsWith("/") || methods.has(route.method)) {
      throw new Error(
        `route ${route.method} ${route.path} ${methods.size === 0 ? "has no /" : "is there twice"}`,
      );
    }
    methods.set(route.method, route);
    byPath.set(route.path, methods);
  }
  return byPath;
}

/** Decoded segments of a path; null where the encoding is broken. */
function segments(path: string): ReadonlyArray<string> | null {
  const parts = path.split("/");
  if (!path.includes("%")) return parts;
  try {
    return parts.map(decodeURIComponent);
  } catch {
    // A % that begins no escape: no route is called so, and the answer is that there is none.
    return null;
  }
}

function methodOf(methods: ByMethod, method: string): Route | Found {
  // Whoever may GET may ask for the HEAD of the same: node:http leaves the body out.
  const route = methods.get(method === "HEAD" ? "GET" : method);
  if (route !== undefined) return route;
  const allow = [...methods.keys()].flatMap((name) => (name === "GET" ? ["GET", "HEAD"] : [name])).join(", ");
  return { type: "refusal", status: 405, message: `Method not allowed: use ${allow}`, allow };
}

/** @returns a function from method and request target to what answers it */
export function makeRouteTable(routes: ReadonlyArray<Route>): (method: string, target: string) => Found {
  const byPath = collect(routes);
  const prefixes = [...byPath].filter(([path]) => path.endsWith("/")).sort(([a], [b]) => b.length - a.length);
  return (method, target) => {
    const question = target.indexOf("?");
    let raw = question < 0 ? target : target.slice(0, question);
    // A proxy may send the absolute form.
    if (!raw.startsWith("/")) raw = /^https?:\/\/[^/]*(\/.*)$/i.exec(raw)?.[1] ?? "";
    const query = question < 0 ? noQuery : new URLSearchParams(target.slice(question + 1));
    const exact = byPath.get(raw);
    if (exact !== undefined) {
      const route = methodOf(exact, method);
      return "handle" in route ? { type: "route", route, path: noPath, query } : route;
    }
    const prefix = prefixes.find(([path]) => raw.startsWith(path));
    if (prefix === undefined) return segments(raw) === null ? malformed : notFound;
    const path = segments(raw.slice(prefix[0].length));
    if (path === null) return malformed;
    const route = methodOf(prefix[1], method);
    return "handle" in route ? { type: "route", route, path, query } : route;
  };
}
