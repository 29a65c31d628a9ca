import { printable } from '../printable.ts'

/**
 * One line of CSV (RFC 4180) without its end. Texts come from machines that may be hostile: none can leave its cell, and none is a formula to a spreadsheet.
 */
export const csvLine = (cells: readonly string[]): string => cells.map(cell).join(',')

function cell(text: string): string {
  const clean = printable(text)
  const harmless = /^[=+\-@]/.test(clean) && clean !== '-' ? `'${clean}` : clean
  return /[",]|^\s|\s$/.test(harmless) ? `"${harmless.replaceAll('"', '""')}"` : harmless
}
