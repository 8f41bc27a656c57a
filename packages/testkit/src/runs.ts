/**
 * How often a property is tried: as often as is usual for it, times `FC_TIMES`, which `npm run test:long` sets. A property
 * that fails prints its seed and path; put both into its `fc.assert` to replay it.
 */
export function runs(usually: number): number {
  return usually * Number(process.env['FC_TIMES'] ?? 1)
}
