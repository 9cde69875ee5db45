"""The main metric and split of HELM's scenarios, as HELM's own schemas state them."""

from functools import cache

# By metric and split: the run groups or scenarios. A longer name takes what its beginning says.
_MAIN = {
    ("exact_match", "test"): (
        "alghafa alrage arabic_exams arabic_finance_mcq arabic_mmlu aratrust audio_mnist"
        " blimp clear cleva_bias cleva_classical_chinese_understanding"
        " cleva_closed_book_question_answering cleva_code_synthesis"
        " cleva_commonsense_reasoning cleva_coreference_resolution cleva_cultural_knowledge"
        " cleva_deductive_reasoning cleva_fact_checking cleva_inductive_reasoning"
        " cleva_instruction_following cleva_intent_understanding"
        " cleva_mathematical_calculation cleva_opinion_mining cleva_paraphrase_identification"
        " cleva_reading_comprehension cleva_reasoning_primitive cleva_sentiment_analysis"
        " cleva_subject_knowledge cleva_text_classification cleva_toxicity_detection ehrshot"
        " enem_challenge ewok head_qa indicxnli indonli infinite_bench_en_mc"
        " lindsea_pragmatics_presuppositions_id lindsea_pragmatics_scalar_implicatures_id"
        " lindsea_syntax_minimal_pairs_id madinah_qa math_vista"
        " mbzuai_human_translated_arabic_mmlu med_qa medbullets medhallu mmlu n2c2_ct_matching"
        " openbookqa pubmed_qa race_based_med shc_bmt_med shc_cdi_med shc_conf_med shc_ent_med"
        " shc_gip_med shc_privacy_med shc_proxy_med shc_ptbm_med shc_sei_med shc_sequoia_med"
        " thai_exam tweetsentbr winogrande_afr xcopa_id xcopa_ta xcopa_th xcopa_vi xnli_th"
        " xnli_vi"
    ),
    ("quasi_exact_match", "test"): (
        "air_bench_foundation arabic_finance_bool babi_qa banking77 bbq casehold"
        " civil_comments cti_to_mitre decodingtrust_adv_demonstration"
        " decodingtrust_adv_robustness decodingtrust_fairness decodingtrust_machine_ethics"
        " decodingtrust_ood_robustness decodingtrust_privacy entity_data_imputation"
        " entity_matching iemocap_audio legal_opinion_sentiment_classification legal_support"
        " legalbench lsat_qa machine_ethics med_qa melt_knowledge_vimmrc melt_knowledge_zalo"
        " melt_lm_mask_filling_mlqa melt_lm_spelling_correction_vsec"
        " melt_question_answering_mlqa melt_question_answering_xquad"
        " melt_sentiment_analysis_vlsp melt_sentiment_analysis_vsfc melt_synthetic_reasoning"
        " melt_text_classification_phoatis melt_text_classification_vsmec"
        " melt_toxicity_detection_victsd melt_toxicity_detection_vihsd"
        " melt_translation_opus100 melt_translation_phomt mustard mutox parade privacy raft"
        " synthetic_reasoning voxceleb2 wikifact"
    ),
    ("classification_macro_f1", "test"): (
        "indicsentiment lex_glue lextreme mlhsd nusax slphelm_asr_disorder_diagnosis"
        " slphelm_disorder_diagnosis slphelm_disorder_symptom_classification"
        " slphelm_disorder_type_classification thaitoxicitytweets uitvsfc vihsd wisesight"
    ),
    ("quasi_prefix_exact_match", "test"): (
        "corebench exams_v hateful_memes meld_audio mme pairs pope seed_bench unicorn vocal_sound"
    ),
    ("quasi_prefix_exact_match", "valid"): (
        "a_okvqa blink fair_face gqa mm_star mmmu viz_wiz vqa vqa_base vqa_dialect"
    ),
    ("chr_f_plus_plus", "test"): (
        "flores_en_id flores_en_ta flores_en_th flores_en_vi flores_id_en flores_ta_en"
        " flores_th_en flores_vi_en"
    ),
    ("quasi_exact_match", "valid"): (
        "adv_demonstration adv_robustness boolq fairness imdb ood_robustness viz_wiz vqa"
    ),
    ("rougeL", "test"): (
        "numeric_nlg qtsumm scigen tablebench_data_analysis tablebench_fact_checking"
        " tablebench_numerical_reasoning unitxt_cards.mlsum.es unitxt_cards.xlsum.spanish"
    ),
    ("rouge_2", "test"): (
        "billsum_legal_summarization eurlexsum_legal_summarization"
        " melt_summarization_vietnews melt_summarization_wikilingua"
        " multilexsum_legal_summarization summarization_cnndm summarization_xsum"
    ),
    ("wer_score", "test"): (
        "ami fleurs librispeech multilingual_librispeech speech_robust_bench transcription"
    ),
    ("Helpfulness", "test"): ("anthropic_hh_rlhf grammar koala self_instruct vicuna"),
    ("prometheus_vision", "test"): ("bingo crossmodal_3600 flickr30k mementos vibe_eval"),
    ("bits_per_byte", "test"): ("cleva_language_modeling ice the_pile twitter_aae"),
    ("exact_match", "valid"): ("hellaswag med_mcqa mmmu truthful_qa"),
    ("safety_score", "test"): ("anthropic_red_team harm_bench simple_safety_tests xstest"),
    ("squad_f1_score", "test"): ("indicqa tydiqa xquad_th xquad_vi"),
    ("accuracy", "test"): ("tab_fact unitxt_cards.amazon_mass.es_ES unitxt_cards.xnli.es"),
    ("chinese_bleu_1", "test"): (
        "cleva_data_to_text_generation cleva_dialogue_generation cleva_pinyin_transliteration"
    ),
    ("classification_micro_f1", "test"): (
        "disorder_diagnosis disorder_type_diagnosis symptom_diagnosis"
    ),
    ("classification_weighted_f1", "test"): (
        "echr_judgment_classification financial_phrasebank gold_commodity_news"
    ),
    ("earth_mover_similarity", "valid"): ("image2latex image2musicsheet image2webpage"),
    ("f1_score", "valid"): ("natural_qa_closedbook natural_qa_openbook_longans quac"),
    ("gpt4_audio_critique", "test"): (
        "air_bench_chat_knowledge air_bench_chat_reasoning audiocaps"
    ),
    ("rouge_l", "test"): ("infinite_bench_en_sum legal_contract_summarization sumosum"),
    ("NDCG@10", "valid"): ("melt_information_retrieval_mrobust msmarco_trec"),
    ("RR@10", "valid"): ("melt_information_retrieval_mmarco msmarco_regular"),
    ("annotation_autobencher_capabilities_score", "test"): (
        "autobencher_capabilities autobencher_safety"
    ),
    ("chain_of_thought_correctness", "test"): ("gpqa mmlu_pro"),
    ("exact_match_indicator", "test"): ("dyck_language gsm"),
    ("execution_accuracy", "valid"): ("bird_sql spider"),
    ("f1_score", "test"): ("msr_vtt narrative_qa"),
    ("f1_set_match", "test"): ("melt_synthetic_reasoning_natural synthetic_reasoning_natural"),
    ("math_equiv", "test"): ("math_regular melt_math_regular"),
    ("math_equiv_chain_of_thought", "test"): ("math_chain_of_thought melt_math_chain_of_thought"),
    ("model_judged_score", "test"): ("arabic_legal_qa arabic_legal_rag"),
    ("ruler_string_match_part", "valid"): ("ruler_hotpotqa ruler_squad"),
    ("Helpfulness", "valid"): ("open_assistant"),
    ("aci_bench_accuracy", "test"): ("aci_bench"),
    ("adjusted_macro_f1_score", "test"): ("kpi_edgar"),
    ("air_score", "test"): ("air_bench_2024"),
    ("alrage_score", "test"): ("alrage"),
    ("annotation_financebench_label_correct_answer", "test"): ("financebench"),
    ("arabic_content_generation_score", "test"): ("arabic_content_generation"),
    ("bbq_accuracy", "test"): ("bbq"),
    ("bleu", "test"): ("covost2"),
    ("bleu_4", "test"): ("wmt_14"),
    ("calculation_accuracy", "test"): ("arabic_finance_calculation"),
    ("chinese_ibleu", "test"): ("cleva_paraphrase_generation"),
    ("chinese_rouge_2", "test"): ("cleva_summarization"),
    ("chw_care_plan_accuracy", "test"): ("chw_care_plan"),
    ("cleva_machine_translation_bleu", "test"): ("cleva_translation"),
    ("cleva_math_result_match", "test"): ("cleva_mathematical_reasoning"),
    ("cleva_top1_accuracy", "test"): ("cleva_conceptual_generalization"),
    ("deepmind_mrcr_v2_score", "test"): ("deepmind_mrcr_v2"),
    ("dischargeme_accuracy", "test"): ("dischargeme"),
    ("ehr_sql_execution_accuracy", "test"): ("ehr_sql"),
    ("error_rate", "test"): ("czech_bank_qa"),
    ("f1_micro", "test"): ("turl_col_type"),
    ("f1_strings", "test"): ("wikitq"),
    ("final_number_exact_match", "test"): ("gsm"),
    ("float_equiv", "valid"): ("conv_fin_qa_calc"),
    ("ifeval_strict_accuracy", "test"): ("ifeval"),
    ("med_dialog_accuracy", "test"): ("med_dialog"),
    ("medalign_accuracy", "test"): ("medalign"),
    ("medcalc_bench_accuracy", "test"): ("medcalc_bench"),
    ("medec_error_flag_accuracy", "test"): ("medec"),
    ("medi_qa_accuracy", "test"): ("medi_qa"),
    ("medication_qa_accuracy", "test"): ("medication_qa"),
    ("mental_health_accuracy", "test"): ("mental_health"),
    ("mimic_bhc_accuracy", "test"): ("mimic_bhc"),
    ("mimic_rrs_accuracy", "test"): ("mimic_rrs"),
    ("mimiciv_billing_code_f1", "test"): ("mimiciv_billing_code"),
    ("mtsamples_procedures_accuracy", "test"): ("mtsamples_procedures"),
    ("mtsamples_replicate_accuracy", "test"): ("mtsamples_replicate"),
    ("omni_math_accuracy", "test"): ("omni_math"),
    ("openai_mrcr_accuracy", "test"): ("openai_mrcr"),
    ("pass", "test"): ("code_humaneval"),
    ("program_accuracy", "test"): ("fin_qa"),
    ("quasi_leave_articles_exact_match", "test"): ("real_world_qa"),
    ("refusal_rate", "test"): ("voice_jailbreak_attacks"),
    ("starr_patient_instructions_accuracy", "test"): ("starr_patient_instructions"),
    ("test_avg", "test"): ("code_apps"),
    ("toxic_frac", "test"): ("mm_safety_bench"),
    ("wer", "test"): ("slphelm_asr_transcription"),
    ("wildbench_score_rescaled", "test"): ("wildbench"),
}
# Where schemas differ, the newest comes first.
_NEWEST = {
    "alrage": "alrage_score",
    "bbq": "bbq_accuracy",
    "gsm": "final_number_exact_match",
    "med_qa": "quasi_exact_match",
    "mmmu": "quasi_prefix_exact_match",
    "viz_wiz": "quasi_prefix_exact_match",
    "vqa": "quasi_exact_match",
}
LOWER_IS_BETTER = frozenset(
    {
        *("wer_score", "mer_score", "cer_score", "chinese_wer_score", "chinese_mer_score"),
        *("chinese_cer_score", "wer", "mer", "error_rate", "edit_similarity", "distance"),
        *("absolute_value_difference", "longest_common_prefix_length", "perplexity"),
        *("bits_per_byte", "expected_max_toxicity", "max_toxicity_probability", "toxic_frac"),
        *("inference_runtime", "ece_1_bin", "ece_10_bin", "nsfw_frac", "nudity_frac"),
    }
)


def main_metrics(groups: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """Return the main metrics of a run with their splits, the newest word first.

    Parameters
    ----------
    groups : tuple of str
        The run's groups and its scenario; the first that is known counts.

    Returns
    -------
    tuple of (str, str)
        Empty for a scenario of which nothing is known.
    """
    table = _by_group()
    for group in groups:
        name = group
        while name:
            if name in table:
                return table[name]
            name = name.rpartition("_")[0]
    return ()


@cache
def _by_group() -> dict[str, tuple[tuple[str, str], ...]]:
    found: dict[str, list[tuple[str, str]]] = {}
    for main, names in _MAIN.items():
        for name in names.split():
            found.setdefault(name, []).append(main)
    return {
        name: tuple(sorted(mains, key=lambda main: main[0] != _NEWEST.get(name)))
        for name, mains in found.items()
    }
