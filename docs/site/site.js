// The menu of narrow screens, and the search. Plain script: modules are not loaded from a disk.
const root = document.body.dataset.root
const menu = document.querySelector('.menu')
const nav = document.querySelector('#nav')
menu.addEventListener('click', () => menu.setAttribute('aria-expanded', String(nav.classList.toggle('open'))))
document.querySelector('nav [aria-current]')?.scrollIntoView({ block: 'nearest' })

const { MiniSearch, KEYLIME_INDEX } = window
const input = document.querySelector('.search input')
const found = document.querySelector('#found')
let index

function search(words) {
  index ??= MiniSearch.loadJS(KEYLIME_INDEX.index, KEYLIME_INDEX.options)
  return index.search(words, { prefix: true, fuzzy: (term) => (term.length > 4 ? 0.2 : 0), boost: { title: 3, heading: 4 }, combineWith: 'AND' }).slice(0, 20)
}

function show(results, words) {
  found.replaceChildren(...(results.length > 0 ? results.map(item) : [nothing(words)]))
  found.hidden = false
}

function item({ id, title, heading }) {
  const [page, anchor] = KEYLIME_INDEX.places[id]
  const link = document.createElement('a')
  link.href = `${root}${page}${anchor ? `#${anchor}` : ''}`
  link.textContent = heading || title
  const where = document.createElement('small')
  where.textContent = heading ? title : page
  link.append(where)
  const line = document.createElement('li')
  line.append(link)
  return line
}

function nothing(words) {
  const line = document.createElement('li')
  line.className = 'none'
  line.textContent = `Nothing has been found for “${words}”.`
  return line
}

input.addEventListener('input', () => {
  const words = input.value.trim()
  if (words.length < 2) found.hidden = true
  else show(search(words), words)
})
document.querySelector('.search').addEventListener('submit', (event) => {
  event.preventDefault()
  found.querySelector('a')?.click()
})
document.addEventListener('keydown', (event) => {
  if (event.key === '/' && document.activeElement !== input) {
    event.preventDefault()
    input.focus()
  }
  if (event.key === 'Escape') found.hidden = true
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key]
  if (!step || found.hidden) return
  const links = [...found.querySelectorAll('a')]
  const next = links[links.indexOf(document.activeElement) + step] ?? (step > 0 ? links[0] : input)
  next?.focus()
  event.preventDefault()
})
document.addEventListener('click', (event) => {
  if (!event.target.closest('.search')) found.hidden = true
})
