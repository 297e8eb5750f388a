// core: the nouns of Sallyport and the words of the RFCs, pure. Nothing here opens a socket or a file, reads a clock
// or the environment, or imports another folder; everything else may import from here.

declare const brand: unique symbol

/** A string (or number) that only its parser can make, so that an unparsed one cannot be passed in its place. */
export type Brand<T, Name extends string> = T & { readonly [brand]: Name }
