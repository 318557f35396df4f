"""Every case of every table, in the order of the principles."""

from tests.audit.automation_cases import AUTOMATION_VARIANTS
from tests.audit.learning_cases import AUTOMATION, REPRODUCIBILITY
from tests.audit.reproducibility_cases import REPRODUCIBILITY_VARIANTS
from tests.audit.security_cases import SECURITY_VARIANTS
from tests.audit.service_cases import SERVICE_VARIANTS
from tests.audit.serving_cases import COLLABORATION, MONITORING, SCALABILITY, SECURITY

CASES = [
    *REPRODUCIBILITY,
    *REPRODUCIBILITY_VARIANTS,
    *AUTOMATION,
    *AUTOMATION_VARIANTS,
    *SCALABILITY,
    *MONITORING,
    *SERVICE_VARIANTS,
    *SECURITY,
    *SECURITY_VARIANTS,
    *COLLABORATION,
]
