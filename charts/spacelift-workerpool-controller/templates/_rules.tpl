{{- /* Rights in a namespace of pools; docs/rbac.md has the table. */}}
{{- define "workerpool.managerRules" -}}
# Reads the pools; writes their ULID label and connection annotation.
- apiGroups: [workers.spacelift.io]
  resources: [workerpools]
  verbs: [get, list, watch, patch]
# Reads the Workers; their objects belong to the hooks.
- apiGroups: [workers.spacelift.io]
  resources: [workers]
  verbs: [get, list, watch]
# Keeps the ledger of each Worker.
- apiGroups: [workers.spacelift.io]
  resources: [workers/status]
  verbs: [patch]
# Reads run Pods; removes its finalizer once their verdict is stored.
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list, watch, patch]
# Dry run only: asks why a run Pod that Metacontroller should have made isn't there.
- apiGroups: [""]
  resources: [pods]
  verbs: [create]
# Reads the Secrets that pools name, by name and never by list; makes and deletes the Secret of each run.
- apiGroups: [""]
  resources: [secrets]
  verbs: [get, create, delete]
# Freezes a pool's Pod settings before a claim; removes revisions that no run refers to.
- apiGroups: [apps]
  resources: [controllerrevisions]
  verbs: [create, get, list, delete]
# Says what happened in words, and counts repetitions.
- apiGroups: [""]
  resources: [events]
  verbs: [create, patch]
# Reads what a kubelet tells of one run Pod that doesn't start, a volume that can't be mounted; never a watch.
- apiGroups: [""]
  resources: [events]
  verbs: [list]
# Sees whether a run ended because its namespace is being deleted, to say so.
- apiGroups: [""]
  resources: [namespaces]
  verbs: [get]
{{- end }}

{{- /* A binding, as `dict "root" $ "kind" "Role" "name" "manager" "namespace" "team-a"`; a ClusterRole's has no namespace. */}}
{{- define "workerpool.binding" -}}
{{- $full := include "workerpool.fullname" .root }}
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ .kind }}Binding
metadata:
  name: {{ $full }}-{{ .name }}-rolebinding
  {{- with .namespace }}
  namespace: {{ . }}
  {{- end }}
  labels: {{- include "workerpool.labels" .root | nindent 4 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: {{ .kind }}
  name: {{ $full }}-{{ .name }}-role
subjects: {{- include "workerpool.subjects" .root | nindent 2 }}
{{- end }}

{{- define "workerpool.roleMeta" -}}
metadata:
  name: {{ include "workerpool.fullname" .root }}-{{ .name }}-role
  {{- with .namespace }}
  namespace: {{ . }}
  {{- end }}
  labels: {{- include "workerpool.labels" .root | nindent 4 }}
{{- end }}
