"""What a study should buy: how many texts, repetitions, prompts and models tell most for the money.

precision    variance components and a design -> the standard error of each contrast, and what it can detect
search       a budget, or an interval's width -> the designs that meet it, the best first
basis        a run, or an experiment that was not run yet -> components, prices and levels to plan from
render       the advice as tables
"""
