/**
 * Withheld cells of a table of two dimensions that the totals of all its rows and columns give back,
 * even though every line withholds two or more.
 *
 * Rows and columns are the two sides of a graph, withheld cells its edges. Cells on a cycle can be
 * changed along it without changing any total; an edge on no cycle, a bridge, is fixed by them: add
 * up the lines on one side of it. Bridges after Tarjan, 1974.
 */

/**
 * @param withheld - 1 a cell that is withheld and not empty, row by row.
 * @returns indices of cells that the totals determine.
 */
export function bridgesOf(rows: number, columns: number, withheld: Uint8Array): number[] {
  const nodes = rows + columns;
  const edges: (readonly [node: number, cell: number])[][] = Array.from(
    { length: nodes },
    () => [],
  );
  for (let cell = withheld.indexOf(1); cell !== -1; cell = withheld.indexOf(1, cell + 1)) {
    const [row, column] = [Math.floor(cell / columns), rows + (cell % columns)];
    edges[row]?.push([column, cell]);
    edges[column]?.push([row, cell]);
  }
  const found: number[] = [];
  const order = new Int32Array(nodes);
  const low = new Int32Array(nodes);
  const next = new Uint32Array(nodes);
  let visited = 0;
  for (let root = 0; root < nodes; root += 1) {
    if (order[root] !== 0) continue;
    // By hand instead of by recursion: a path may be as long as the table has lines.
    const path: { readonly node: number; readonly by: number }[] = [{ node: root, by: -1 }];
    visited += 1;
    order[root] = visited;
    low[root] = visited;
    for (let top = path.at(-1); top !== undefined; top = path.at(-1)) {
      const { node, by } = top;
      const edge = edges[node]?.[next[node] ?? 0];
      if (edge === undefined) {
        path.pop();
        const before = path.at(-1);
        if (before === undefined) break;
        low[before.node] = Math.min(low[before.node] ?? 0, low[node] ?? 0);
        if ((low[node] ?? 0) > (order[before.node] ?? 0)) found.push(by);
        continue;
      }
      next[node] = (next[node] ?? 0) + 1;
      const [to, cell] = edge;
      if (cell === by) continue;
      if (order[to] !== 0) {
        low[node] = Math.min(low[node] ?? 0, order[to] ?? 0);
        continue;
      }
      visited += 1;
      order[to] = visited;
      low[to] = visited;
      path.push({ node: to, by: cell });
    }
  }
  return found;
}
