-- One row per completed assessment and outcome of measure assessment_working_days, less those beyond the fence where
-- the outcome is trimmed (definitions, section 5). Without assessments to make a fence from none is left out.

with
durations as (

    select * from {{ ref('int_assessment_durations') }}

),

fences as (

    select * from {{ ref('int_duration_fences') }}

),

final as (

    select
        durations.index_event_no,
        durations.outcome,
        cast(durations.n_working_days as double) as value,
        durations.authorisation_date as event_date
    from durations
    left join fences
        on
            durations.programme = fences.programme
            and durations.outcome = fences.outcome
            and durations.n_working_days > fences.duration_fence
    where not (durations.is_trimmed and fences.outcome is not null)

)

select * from final
