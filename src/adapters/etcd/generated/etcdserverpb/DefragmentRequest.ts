// Original file: etcd-v3.proto


export interface DefragmentRequest {
}

export interface DefragmentRequest__Output {
}
