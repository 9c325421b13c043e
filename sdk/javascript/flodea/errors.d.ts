/** A call that failed. */
export class FlodeaError extends Error {
  constructor(message: string, details?: Record<string, any>[]);
  /** The gRPC status code's name, as "NOT_FOUND". */
  readonly code: string;
  /** google.rpc details, each with its "@type"; often empty. */
  readonly details: Record<string, any>[];
}

/** The call was cancelled. */
export class Cancelled extends FlodeaError {}
/** An error without a better name. */
export class Unknown extends FlodeaError {}
/** An argument is out of its range, whatever the state of the system. Trying again does not help. */
export class InvalidArgument extends FlodeaError {}
/** The `timeout` passed. Whether the call took effect is unknown. */
export class DeadlineExceeded extends FlodeaError {}
/** There is no such thing. */
export class NotFound extends FlodeaError {}
/** It is there already. */
export class AlreadyExists extends FlodeaError {}
/** Policy forbids it. */
export class PermissionDenied extends FlodeaError {}
/** A limit of this agent is reached: its disk, its open calls, its rate. */
export class ResourceExhausted extends FlodeaError {}
/** The system is not in the state that the call asks for, as a version that does not hold. */
export class FailedPrecondition extends FlodeaError {}
/** A conflict with another call. Start again from reading. */
export class Aborted extends FlodeaError {}
/** Past the end. */
export class OutOfRange extends FlodeaError {}
/** This Flodea has no such method. */
export class Unimplemented extends FlodeaError {}
/** A fault of Flodea. */
export class Internal extends FlodeaError {}
/** The supervisor could not be reached, or went away during a call that must not be repeated by itself. */
export class Unavailable extends FlodeaError {}
/** Stored data is damaged. */
export class DataLoss extends FlodeaError {}
