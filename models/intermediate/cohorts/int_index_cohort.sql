-- One row per programme, kind of index event, child and sequence: the child's index events in the trial period at an
-- eligible age, in order of date; of first referrals the first alone, without look-back. Events within the authority's
-- embedding period are left out (definitions, sections 1 and 4). index_event_no is a narrow key for the models that
-- follow; it changes with the data.

with
candidates as (

    select * from {{ ref('int_index_candidates') }}
    where is_in_trial_period and is_eligible_age

),

sites as (

    select * from {{ ref('sites') }}

),

candidates_in_order as (

    select
        *,
        row_number() over (partition by programme, index_event, child_id order by event_date, referral_date) as sequence
    from candidates

),

candidates_outside_embedding as (

    select
        candidates_in_order.*,
        sites.go_live_date,
        sites.embedding_start
    from candidates_in_order
    left join sites
        on
            candidates_in_order.programme = sites.programme
            and candidates_in_order.la_code = sites.la_code
    where
        (candidates_in_order.index_event <> 'first_referral' or candidates_in_order.sequence = 1)
        and not coalesce(
            candidates_in_order.event_date between sites.embedding_start and sites.embedding_end, false
        )

),

final as (

    select
        row_number() over (order by child_id, event_date, programme, index_event, sequence) as index_event_no,
        programme,
        index_event,
        child_id,
        cast(sequence as integer) as sequence,
        la_code,
        event_date as index_date,
        referral_date,
        primary_need,
        is_nfa_at_referral,
        is_closed_after_assessment,
        previous_referral_date,
        first_completed_assessment_start,
        care_legal_status,
        age_at_event as age_at_index,
        age_in_months as age_in_months_at_index,
        is_unborn_at_event as is_unborn_at_index,
        go_live_date,
        embedding_start
    from candidates_outside_embedding

)

select * from final
