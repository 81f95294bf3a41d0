"""Makes the files in ``crds/``: hand-written sources here, Pod schemas from a real API server's own OpenAPI.

    workerpool.yaml, worker.yaml --source--> with the operator's names --definition--> CRD --output--> crds/*.yaml
                                             OpenAPI + refinements.yaml --kubernetes--^

Everything but ``__main__`` and ``apiserver`` is a function of its input. Nothing of the operator imports this package;
it reads the operator's vocabulary, so that no rule of a CRD can name something else than the code does.
"""
