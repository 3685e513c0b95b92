"""Questions to other annotation tools, and their answers back as corrections."""

from visionkit.flywheel.exchange.class_names import STAND_IN, known_names
from visionkit.flywheel.exchange.question import Question
from visionkit.flywheel.exchange.questions import TOOLS, questions_about, write_questions
from visionkit.flywheel.exchange.taking import Taken, take_answers

__all__ = [
    "STAND_IN",
    "TOOLS",
    "Question",
    "Taken",
    "known_names",
    "questions_about",
    "take_answers",
    "write_questions",
]
