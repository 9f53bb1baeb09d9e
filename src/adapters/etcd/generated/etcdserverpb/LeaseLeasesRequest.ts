// Original file: etcd-v3.proto


export interface LeaseLeasesRequest {
}

export interface LeaseLeasesRequest__Output {
}
