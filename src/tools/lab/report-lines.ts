import { figureText } from './figures.ts'
import type { FleetReport } from './run-fleet.ts'

/** A report for people: each figure with its unit. Ranges are the lowest and the highest of five parts of the time: the noise of the machine. */
export function reportLines(report: FleetReport): string[] {
  const { askMs, lagMs } = report
  const ms = (value: number) => value.toFixed(value < 10 ? 1 : 0)
  return [
    ...(report.registered === null ? [] : [`registered a second        ${report.registered.toFixed(0)}`]),
    `enrolled a second          ${report.enrolled.toFixed(0)}`,
    `all attested once after    ${report.firstRoundSeconds.toFixed(1)} s`,
    `attestations a second      ${figureText(report.rate, 0)}`,
    `processor time for each    ${figureText(report.cpuMs, 3)} ms (of the machines: ${report.machineCpuMs.median.toFixed(3)})`,
    `answers                    p50 ${ms(askMs.p50)}, p99 ${ms(askMs.p99)}, p99.9 ${ms(askMs.p999)} ms`,
    `asked late                 p50 ${ms(lagMs.p50)}, p99 ${ms(lagMs.p99)} ms; an honest machine was not asked for ${report.longestGap.toFixed(2)} intervals at most`,
    `memory (PSS)               ${report.pssMb.toFixed(0)} MB`,
    `connections                ${report.connections} open, ${report.handshakes} new ones while measuring, ${report.resumed} of them resumed`,
    `network                    ${(report.bytesEach / 1000).toFixed(1)} kB for each attestation, both ways`,
    `liars found out            ${report.distrusted} of ${report.liars}`,
  ]
}
