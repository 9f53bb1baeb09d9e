// Original file: csi-v1.proto


export interface NodeGetInfoRequest {
}

export interface NodeGetInfoRequest__Output {
}
