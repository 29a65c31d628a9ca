import MiniSearch from 'minisearch'
import type { Section } from './markdown-html.ts'

export interface Searched {
  readonly page: string
  readonly title: string
  readonly sections: readonly Section[]
}

const OPTIONS = { fields: ['title', 'heading', 'text'], storeFields: ['title', 'heading'] }

/** A script that sets the whole index: data cannot be fetched from a disk. One entry a section. */
export function searchIndexScript(pages: readonly Searched[]): string {
  const places: [string, string][] = []
  const index = new MiniSearch<{ id: number; title: string; heading: string; text: string }>(OPTIONS)
  for (const { page, title, sections } of pages)
    for (const { anchor, heading, text } of sections) {
      if (heading === '' && text === '') continue
      index.add({ id: places.length, title, heading: heading === title ? '' : heading, text })
      places.push([page, heading === title ? '' : anchor])
    }
  return `window.KEYLIME_INDEX = ${JSON.stringify({ places, options: OPTIONS, index: index.toJSON() })}\n`
}
