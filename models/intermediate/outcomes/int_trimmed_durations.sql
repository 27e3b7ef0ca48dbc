-- One row per programme, trimmed outcome and arm: the fence, and how many of the fully observed assessments lie beyond
-- it (definitions, section 5).

with
durations as (

    select * from {{ ref('int_assessment_durations') }}
    where is_trimmed and is_fully_observed

),

fences as (

    select * from {{ ref('int_duration_fences') }}

),

final as (

    select
        durations.programme,
        durations.outcome,
        durations.is_treated_authority,
        fences.duration_fence,
        cast(count(*) as bigint) as n_assessments,
        cast(sum(case when durations.n_working_days > fences.duration_fence then 1 else 0 end) as bigint) as n_trimmed,
        sum(case when durations.n_working_days > fences.duration_fence then 1 else 0 end)
        / cast(count(*) as double) as share_trimmed
    from durations
    left join fences
        on
            durations.programme = fences.programme
            and durations.outcome = fences.outcome
    group by durations.programme, durations.outcome, durations.is_treated_authority, fences.duration_fence

)

select * from final
