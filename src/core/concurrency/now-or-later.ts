/** What is there, or will be: a promise costs garbage and a turn of the queue even where nothing waits. */
export type NowOrLater<T> = T | Promise<T>

/** Goes on with a value at once where it is there. @throws what `next` throws, where it is. */
export const whenThere = <T, U>(value: NowOrLater<T>, next: (value: T) => NowOrLater<U>): NowOrLater<U> =>
  value instanceof Promise ? value.then(next) : next(value)
