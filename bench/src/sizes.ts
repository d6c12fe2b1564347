import type { LineChart } from './line-chart.ts'
import { median } from './rounds.ts'

/** 10k, 1m: as sizes stand in names. */
export function sizeName(size: number): string {
  if (size >= 1_000_000) return `${size / 1_000_000}m`
  return size >= 1_000 ? `${size / 1_000}k` : String(size)
}

/** How costs grow with a size, relative to the smallest. */
export function growthChart(
  name: string,
  title: string,
  ofWhat: string,
  costs: Readonly<Record<string, ReadonlyMap<number, readonly number[]>>>,
): LineChart {
  const lines = Object.entries(costs).map(([label, bySize]) => ({
    label,
    points: [...bySize].map(([size, ratios]) => [size, median(ratios)] as const),
  }))
  const points = lines.flatMap((line) => line.points)
  const sizes = [...new Set(points.map(([size]) => size))]
  const highest = Math.max(2, Math.ceil(Math.max(...points.map(([, ratio]) => ratio))))
  return {
    name,
    title,
    x: { label: ofWhat, logarithmic: true, ticks: sizes.map((size) => [size, sizeName(size)]) },
    y: {
      label: `cost, relative to ${sizeName(sizes[0] ?? 0)}`,
      ticks: Array.from({ length: 5 }, (_, step) => (highest / 4) * step).map((tick) => [tick, String(tick)]),
    },
    lines,
  }
}
