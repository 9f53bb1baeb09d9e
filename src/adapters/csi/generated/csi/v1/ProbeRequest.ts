// Original file: csi-v1.proto


export interface ProbeRequest {
}

export interface ProbeRequest__Output {
}
