import { KeylimeError } from '../../core/errors.ts'

/** Bounds what all answers that are being read have together, counted as bytes arrive. */
export interface AnswerRoom {
  /** @param cutOff ends the reading of this answer. */
  enter(cutOff: (reason: KeylimeError) => void): { grow(bytes: number): void; leave(): void }
}

interface Place {
  bytes: number
  cutOff(reason: KeylimeError): void
}

/**
 * When there is no room left, the answer that has most of it is cut off: a few that send as much as they may cannot keep others from being read, however
 * slowly they send it.
 */
export function createAnswerRoom(maxBytes: number): AnswerRoom {
  const places = new Set<Place>()
  let total = 0

  function leave(place: Place): void {
    if (places.delete(place)) total -= place.bytes
  }

  function cutOffLargest(): void {
    let largest: Place | undefined
    for (const place of places) if (!largest || place.bytes > largest.bytes) largest = place
    if (!largest) return
    leave(largest)
    largest.cutOff(new KeylimeError('unavailable', 'the answers of many agents together are too large, this one was the largest'))
  }

  return {
    enter(cutOff) {
      const place: Place = { bytes: 0, cutOff }
      places.add(place)
      return {
        grow(bytes) {
          if (!places.has(place)) return // cut off: what still arrives is thrown away
          place.bytes += bytes
          total += bytes
          while (total > maxBytes && places.size > 0) cutOffLargest()
        },
        leave: () => leave(place),
      }
    },
  }
}
