// Errors of calls: one class for each status code of gRPC (https://grpc.io/docs/guides/status-codes/).

export class FlodeaError extends Error {
  static code = "UNKNOWN";

  constructor(message, details = []) {
    super(message);
    this.name = new.target.name;
    this.code = new.target.code;
    this.details = details;
  }
}

export class Cancelled extends FlodeaError { static code = "CANCELLED"; }
export class Unknown extends FlodeaError { static code = "UNKNOWN"; }
export class InvalidArgument extends FlodeaError { static code = "INVALID_ARGUMENT"; }
export class DeadlineExceeded extends FlodeaError { static code = "DEADLINE_EXCEEDED"; }
export class NotFound extends FlodeaError { static code = "NOT_FOUND"; }
export class AlreadyExists extends FlodeaError { static code = "ALREADY_EXISTS"; }
export class PermissionDenied extends FlodeaError { static code = "PERMISSION_DENIED"; }
export class ResourceExhausted extends FlodeaError { static code = "RESOURCE_EXHAUSTED"; }
export class FailedPrecondition extends FlodeaError { static code = "FAILED_PRECONDITION"; }
export class Aborted extends FlodeaError { static code = "ABORTED"; }
export class OutOfRange extends FlodeaError { static code = "OUT_OF_RANGE"; }
export class Unimplemented extends FlodeaError { static code = "UNIMPLEMENTED"; }
export class Internal extends FlodeaError { static code = "INTERNAL"; }
export class Unavailable extends FlodeaError { static code = "UNAVAILABLE"; }
export class DataLoss extends FlodeaError { static code = "DATA_LOSS"; }
