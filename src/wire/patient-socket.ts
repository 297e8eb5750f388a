import { Socket } from 'node:net'

type Written = (error?: Error | null) => void

/**
 * A socket whose failed write does not close it before what the peer had sent has been read. A peer that answers early and
 * closes (413, say) resets what we still send; a plain socket would be destroyed at the first write into that, with the
 * answer unread in the kernel. It is destroyed with the error once everything was read. Then it does not emit a peaceful
 * end: the kernel tells a reset once only, and the write has heard of it.
 */
export class PatientSocket extends Socket {
  override _write(chunk: unknown, encoding: BufferEncoding, written: Written): void {
    super._write(chunk, encoding, this.#patient(written))
  }

  override _writev(chunks: { chunk: unknown; encoding: BufferEncoding }[], written: Written): void {
    super._writev!(chunks, this.#patient(written))
  }

  #patient(written: Written): Written {
    return (error) => {
      if (!error || this.readableEnded || this.destroyed) return written(error)
      const tell = (): void => {
        this.off('end', tell)
        this.off('close', tell)
        written(error)
      }
      // Before whoever takes an end for an end in order.
      this.prependListener('end', tell)
      this.on('close', tell)
    }
  }
}
