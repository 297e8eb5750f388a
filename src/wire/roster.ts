/** A place in a roster, for whoever wants to leave it. */
export interface Seat {
  /** Later calls do nothing. */
  leave(): void
}

/**
 * Who is there, in the order of coming, where thousands come and go each second. A Set would do but for one thing: when
 * V8 makes a new table for a Set, the old one keeps a reference to it, so that one dead table in the old generation keeps
 * all later ones alive, with everything that was ever in them, until the next major collection. Here nothing that has
 * left refers to anything that has not.
 */
export class Roster<T> {
  readonly #head: Place<T> = { item: undefined, before: undefined, after: undefined, taken: false }
  #last: Place<T> = this.#head
  #size = 0

  get size(): number {
    return this.#size
  }

  /** Who has been there longest. */
  get first(): T | undefined {
    return this.#head.after?.item
  }

  add(item: T): Seat {
    const place: Place<T> = { item, before: this.#last, after: undefined, taken: true }
    this.#last.after = place
    this.#last = place
    this.#size++
    return { leave: () => this.#leave(place) }
  }

  /** Whoever leaves during the walk is not visited any more; whoever comes is not visited yet. */
  forEach(visit: (item: T) => void): void {
    const places: Place<T>[] = []
    for (let place = this.#head.after; place !== undefined; place = place.after) places.push(place)
    for (const place of places) if (place.taken) visit(place.item!)
  }

  #leave(place: Place<T>): void {
    if (!place.taken) return
    const { before, after } = place
    place.taken = false
    place.item = place.before = place.after = undefined
    before!.after = after
    if (after === undefined) this.#last = before!
    else after.before = before
    this.#size--
  }
}

interface Place<T> {
  item: T | undefined
  before: Place<T> | undefined
  after: Place<T> | undefined
  taken: boolean
}
