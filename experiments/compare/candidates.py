"""The initializations that studies compare, by the names that their reports use."""

from experiments.compare.study import Candidate
from experiments.config import Initialization

HE = Candidate("He", Initialization("he"))
XAVIER = Candidate("Xavier", Initialization("xavier"))
ORTHOGONAL = Candidate("orthogonal", Initialization("orthogonal"))
DELTA_ORTHOGONAL = Candidate("delta-orthogonal", Initialization("delta_orthogonal"))
LSUV = Candidate("LSUV", Initialization("lsuv"))
ZERO = Candidate("zero", Initialization("zero"))
ZERO_PERTURBED = Candidate("zero, perturbed", Initialization("zero_perturbed"))
ZERO_GAMMA = Candidate("zero gamma", Initialization("zero_gamma"))
ZERO_HADAMARD = Candidate("ZerO", Initialization("zero_hadamard"))
SKIPINIT = Candidate("SkipInit", Initialization("skipinit"))
REZERO = Candidate("ReZero", Initialization("rezero"))
FIXUP = Candidate("Fixup", Initialization("fixup"))
T_FIXUP = Candidate("T-Fixup", Initialization("t_fixup"))
MIMETIC = Candidate("mimetic", Initialization("mimetic"))
IDINIT = Candidate("IDInit", Initialization("idinit"))
IDINIT_LITERAL = Candidate("IDInit, literal", Initialization("idinit_literal"))
