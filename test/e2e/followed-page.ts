import fs from 'node:fs'
import path from 'node:path'
import type { Host } from './hosts.ts'

const TASKS = path.resolve(import.meta.dirname, '../../docs/guide/tasks')

interface Block {
  /** What is typed, or what is shown then. */
  readonly kind: 'typed' | 'shown'
  readonly lines: readonly string[]
}

export interface Followed {
  /** Of each line, in order. */
  readonly codes: readonly number[]
  /** Of all lines, both streams. */
  readonly output: string
}

/** A page of tasks, followed from its first block to its last: each is typed, or compared, as it stands. */
export class FollowedPage {
  readonly #name: string
  readonly #blocks: Block[]
  #said = ''

  constructor(name: string) {
    this.#name = name
    const text = fs.readFileSync(path.join(TASKS, name), 'utf8')
    this.#blocks = [...text.matchAll(/^([ \t]*)```(\w*)\n([\s\S]*?)^\1```$/gm)].map(([, indent = '', language, content = '']) => ({
      kind: language === 'text' ? 'shown' : 'typed',
      lines: content
        .split('\n')
        .map((line) => line.slice(indent.length))
        .filter((line) => line !== ''),
    }))
  }

  /** Types the next block on a host. @param codes exit codes of its lines that are not 0, by their place. @throws when a line ends with another. */
  async next(host: Host, codes: Record<number, number> = {}): Promise<string> {
    const block = this.#take('typed')
    const { codes: got, output } = await typed(host, block.lines)
    const wanted = block.lines.map((_, i) => codes[i] ?? 0)
    if (String(got) !== String(wanted))
      throw new Error(`${this.#name}: exit codes ${got} where ${wanted} belong to\n${block.lines.join('\n')}\n\n${output}`)
    this.#said = output
    return output
  }

  /** What the page shows next is in what was said. Numbers may be others, and `…` is any text. @param output of the block that was typed last, unless given. */
  shows(output = this.#said): void {
    for (const line of this.#take('shown').lines) {
      const pattern = line
        .split('…')
        .map((piece) => piece.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&').replaceAll(/\d+/g, '\\d+'))
        .join('.*')
      if (!new RegExp(`^${pattern}$`, 'm').test(output)) throw new Error(`${this.#name} shows\n${line}\n\nand this was said:\n${output}`)
    }
  }

  /** @throws when a block was not followed. */
  end(): void {
    if (this.#blocks.length > 0) throw new Error(`${this.#name}: nobody followed\n${this.#blocks[0]!.lines.join('\n')}`)
  }

  #take(kind: Block['kind']): Block {
    const block = this.#blocks.shift()
    if (block?.kind !== kind) throw new Error(`${this.#name}: the next block is not ${kind}, but ${block?.kind}: ${block?.lines[0]}`)
    return block
  }
}

const MARK = '\u0001'

/** In the shell that is open there: what an earlier block has exported counts. */
async function typed(host: Host, lines: readonly string[]): Promise<Followed> {
  const script = ['exec 2>&1', '[ ! -e ~/.exported ] || . ~/.exported', ...lines.flatMap((line) => [line, `printf '${MARK}%s${MARK}' $?`])]
  const { stdout } = await host.type([...script, 'export -p > ~/.exported'].join('\n'))
  const pieces = stdout.split(MARK)
  return {
    codes: pieces.filter((_, i) => i % 2 === 1).map(Number),
    output: pieces.filter((_, i) => i % 2 === 0).join(''),
  }
}
