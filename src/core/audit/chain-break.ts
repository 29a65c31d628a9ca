/** What is wrong with a chain, and what that means. */
export type BreakKind =
  | 'line_changed'
  | 'lines_removed'
  | 'out_of_order'
  | 'not_a_line'
  | 'beginning_removed'
  | 'another_chain'
  | 'cut'
  | 'head_missing'

/** Where a line stands: the file, and its number in it from 1. */
export interface LinePlace {
  readonly file: string
  readonly line: number
}

export interface ChainBreak extends LinePlace {
  readonly kind: BreakKind
  /** `seq` of the line; null for what is no line. */
  readonly seq: number | null
  readonly text: string
}

export const place = ({ file, line }: LinePlace): string => `${file}, line ${line}`
